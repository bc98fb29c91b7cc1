import type { Build, LogRecord, Page } from './types'

/** The API refused or cannot be reached; the message is for people. */
export class ApiError extends Error {}

async function get<T>(path: string): Promise<T> {
  let response: Response
  try {
    response = await fetch(path, { headers: { Accept: 'application/json' } })
  } catch {
    throw new ApiError('The server cannot be reached. This page tries again by itself.')
  }
  if (!response.ok) {
    const body = (await response.json().catch(() => ({}))) as { message?: string }
    throw new ApiError(body.message ?? `The server answered ${response.status}.`)
  }
  return (await response.json()) as T
}

export interface PipelineKey {
  source: string
  owner: string
  name: string
}

export function pipelinePath(key: PipelineKey): string {
  return `/pipelines/${[key.source, key.owner, key.name].map(encodeURIComponent).join('/')}`
}

export function keyOf(build: Build): PipelineKey {
  return { source: build.repoSource, owner: build.repoOwner, name: build.repoName }
}

export function buildPath(build: Build): string {
  return `${pipelinePath(keyOf(build))}/builds/${build.id}`
}

export const api = {
  pipelines: (page: number, search: string) =>
    get<Page<Build>>(`/api/pipelines?page[number]=${page}&page[size]=25&filter[search]=${encodeURIComponent(search)}`),
  builds: (key: PipelineKey, page: number) =>
    get<Page<Build>>(`/api${pipelinePath(key)}/builds?page[number]=${page}&page[size]=25`),
  build: (key: PipelineKey, id: string) => get<Build>(`/api${pipelinePath(key)}/builds/${encodeURIComponent(id)}`),
  log: (key: PipelineKey, id: string) =>
    get<LogRecord>(`/api${pipelinePath(key)}/builds/${encodeURIComponent(id)}/logs`),
  streamUrl: (key: PipelineKey, id: string) =>
    `/api${pipelinePath(key)}/builds/${encodeURIComponent(id)}/logs.stream`,
}
