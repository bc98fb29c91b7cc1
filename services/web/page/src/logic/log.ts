import type { Image, LogLine, LogRecord, StageStatus, TailLogLine } from '../api/types'

/** A stage of the log as it is shown. */
export interface Stage {
  name: string
  status: StageStatus
  autoInjected: boolean
  image: Image | null
  duration: number
  exitCode: number
  lines: LogLine[]
}

/** Which attempt an event of the live log belongs to: its id is `<attempt>-<number>`. */
export function attemptOf(eventId: string): number {
  return Number.parseInt(eventId.split('-', 1)[0] ?? '0', 10) || 0
}

/** The stages of one attempt, in the order they appeared. Attempt 0 is the control plane's and adds to any other. */
export class StageList {
  stages: Stage[] = []
  attempt = 0

  /** Take an event; returns whether a new attempt began with it. */
  take(tail: TailLogLine, attempt: number): boolean {
    const restarted = attempt > this.attempt && this.attempt > 0
    if (restarted) this.stages = []
    if (attempt > 0) this.attempt = attempt
    const stage = this.stage(tail.step)
    if (tail.logLine) stage.lines.push(tail.logLine)
    if (tail.status) stage.status = tail.status
    if (tail.image) stage.image = tail.image
    if (tail.duration) stage.duration = tail.duration
    if (tail.exitCode) stage.exitCode = tail.exitCode
    if (tail.autoInjected) stage.autoInjected = true
    return restarted
  }

  private stage(name: string): Stage {
    const found = this.stages.find((each) => each.name === name)
    if (found) return found
    const fresh: Stage = {
      name,
      status: 'UNKNOWN',
      autoInjected: false,
      image: null,
      duration: 0,
      exitCode: 0,
      lines: [],
    }
    this.stages.push(fresh)
    return this.stages[this.stages.length - 1] ?? fresh
  }
}

/** A stored log as stages. */
export function stagesOf(record: LogRecord): Stage[] {
  return record.steps.map((step) => ({
    name: step.step,
    status: step.status,
    autoInjected: step.autoInjected,
    image: step.image,
    duration: step.duration,
    exitCode: step.exitCode,
    lines: step.logLines ?? [],
  }))
}
