import { describe, expect, it } from 'vitest'
import { attemptOf, stagesOf, StageList } from './log'
import { ago, duration } from './text'

const line = (text: string) => ({ line: 1, timestamp: 't', streamType: 'stdout' as const, text })

describe('a live log', () => {
  it('gathers lines and changes by stage', () => {
    const list = new StageList()
    list.take({ step: 'build', type: 'stage', status: 'RUNNING' }, 1)
    list.take({ step: 'build', type: 'stage', logLine: line('hello\n') }, 1)
    list.take({ step: 'build', type: 'stage', status: 'FAILED', exitCode: 2, duration: 5 }, 1)
    expect(list.stages).toHaveLength(1)
    expect(list.stages[0]).toMatchObject({ status: 'FAILED', exitCode: 2, duration: 5 })
    expect(list.stages[0]?.lines).toHaveLength(1)
  })

  it('begins anew with a new attempt', () => {
    const list = new StageList()
    list.take({ step: 'build', type: 'stage', logLine: line('one\n') }, 1)
    expect(list.take({ step: 'build', type: 'stage', logLine: line('two\n') }, 2)).toBe(true)
    expect(list.stages[0]?.lines).toEqual([line('two\n')])
  })

  it('keeps the attempt when the control plane adds its words', () => {
    const list = new StageList()
    list.take({ step: 'build', type: 'stage', logLine: line('one\n') }, 1)
    expect(list.take({ step: 'lost', type: 'stage', status: 'FAILED' }, 0)).toBe(false)
    expect(list.stages.map((stage) => stage.name)).toEqual(['build', 'lost'])
  })

  it('reads the attempt from the id of an event', () => {
    expect([attemptOf('2-17'), attemptOf(''), attemptOf('x')]).toEqual([2, 0, 0])
  })
})

describe('a stored log', () => {
  it('has a stage for each step', () => {
    const step = {
      step: 'a', image: null, runIndex: 0, duration: 1, logLines: null, exitCode: 0,
      status: 'SKIPPED' as const, autoInjected: false,
    }
    expect(stagesOf({ steps: [step] })[0]).toMatchObject({ name: 'a', status: 'SKIPPED', lines: [] })
  })
})

describe('words', () => {
  it('says durations as people do', () => {
    expect([0, 85e7, 12e8, 42e9, 185e9, 9e13].map(duration)).toEqual(['–', '850 ms', '1.2 s', '42 s', '3 m 5 s', '1 d 1 h'])
  })
  it('says how long ago', () => {
    const now = Date.parse('2026-11-20T12:00:00Z')
    expect([ago('2026-11-20T11:59:58Z', now), ago('2026-11-20T11:57:00Z', now)]).toEqual(['just now', '3 m ago'])
  })
})
