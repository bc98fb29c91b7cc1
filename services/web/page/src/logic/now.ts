import { onScopeDispose, readonly, ref } from 'vue'

/** The present time in milliseconds, renewed every second while the page is shown. */
export function useNow() {
  const now = ref(Date.now())
  const timer = setInterval(() => {
    if (!document.hidden) now.value = Date.now()
  }, 1000)
  onScopeDispose(() => clearInterval(timer))
  return readonly(now)
}

/** Milliseconds until a list is read again: about five seconds, spread so that viewers do not come at once. */
export function refreshInterval(): number {
  return 4000 + Math.random() * 2000
}
