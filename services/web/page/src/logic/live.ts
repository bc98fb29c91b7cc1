import { onScopeDispose, ref, shallowRef, triggerRef, watch, type Ref } from 'vue'
import { api, type PipelineKey } from '../api/client'
import type { TailLogLine } from '../api/types'
import { attemptOf, StageList, type Stage } from './log'

/** The log of a build as it comes: `stages` grow until `closed`. The browser resumes by itself where it was. */
export function useLiveLog(key: () => PipelineKey, id: () => string) {
  const stages = shallowRef<Stage[]>([])
  const attempt = ref(0)
  const restarts = ref(0)
  const closed = ref(false)
  const connected = ref(false)
  let source: EventSource | null = null
  let frame = 0

  function close() {
    source?.close()
    source = null
    cancelAnimationFrame(frame)
    frame = 0
  }

  function show(list: StageList) {
    if (frame) return
    frame = requestAnimationFrame(() => {
      frame = 0
      stages.value = list.stages
      attempt.value = list.attempt
      triggerRef(stages)
    })
  }

  function open() {
    close()
    const list = new StageList()
    stages.value = []
    restarts.value = 0
    closed.value = false
    source = new EventSource(api.streamUrl(key(), id()))
    source.onopen = () => (connected.value = true)
    source.onerror = () => (connected.value = false)
    source.addEventListener('log', (event) => {
      const message = event as MessageEvent<string>
      if (list.take(JSON.parse(message.data) as TailLogLine, attemptOf(message.lastEventId))) restarts.value += 1
      show(list)
    })
    source.addEventListener('close', () => {
      close()
      stages.value = list.stages
      triggerRef(stages)
      closed.value = true
    })
  }

  watch([() => key().source, () => key().owner, () => key().name, id], open, { immediate: true })
  onScopeDispose(close)
  return { stages, attempt, restarts, closed, connected } satisfies Record<string, Ref<unknown>>
}
