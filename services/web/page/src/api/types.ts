/** What the API gives: names and units of the reference (durations in nanoseconds, times RFC 3339). */

export type Status = 'pending' | 'running' | 'succeeded' | 'failed' | 'canceling' | 'canceled'
export type StageStatus = 'UNKNOWN' | 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'SKIPPED' | 'CANCELED'

export interface Commit {
  message: string
  author: { name: string; email: string; username: string }
}

export interface Build {
  id: string
  repoSource: string
  repoOwner: string
  repoName: string
  repoBranch: string
  repoRevision: string
  buildVersion: string
  buildStatus: Status
  labels: { key: string; value: string }[]
  commits: Commit[]
  triggerEvents: { fired: boolean; git?: { event: string; branch: string } }[]
  insertedAt: string
  startedAt: string | null
  updatedAt: string
  duration: number
  pendingDuration: number
  outcome: string | null
  reason: string
  attempt: number
}

export interface Page<T> {
  items: T[]
  pagination: { page: number; size: number; totalPages: number; totalItems: number }
}

export interface Image {
  name: string
  tag: string
  isPulled?: boolean
  imageSize?: number
  pullDuration?: number
}

export interface LogLine {
  line: number
  timestamp: string
  streamType: 'stdout' | 'stderr'
  text: string
}

export interface TailLogLine {
  step: string
  parentStage?: string
  type: 'stage' | 'service'
  runIndex?: number
  logLine?: LogLine
  image?: Image
  duration?: number
  exitCode?: number
  status?: StageStatus
  autoInjected?: boolean
}

export interface Step {
  step: string
  image: Image | null
  runIndex: number
  duration: number
  logLines: LogLine[] | null
  exitCode: number
  status: StageStatus
  autoInjected: boolean
}

export interface LogRecord {
  steps: Step[]
}
