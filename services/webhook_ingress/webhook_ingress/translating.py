"""What forges told, told once more in words that are no forge's; behind the answer, for a burst is stored first."""

from estafette_common.bus import identity
from estafette_common.bus.delivery import NotUnderstoodError
from estafette_common.bus.messages.events import GithubEvent
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.payloads import Payloads
from estafette_common.bus.publishing import Publisher

from webhook_ingress.pushes import NotAPushError, translate


class Translator:
    """Tells `event.git.push` for each push that a forge told."""

    def __init__(self, bus: Publisher, payloads: Payloads) -> None:
        self._bus = bus
        self._payloads = payloads

    async def on_github_push(self, event: GithubEvent, cause: Cause) -> None:
        """Translate a push of GitHub's. Dead when its large payload is not kept any more."""
        try:
            pushed = translate(await self._payloads.of(event))
        except NotAPushError as error:
            raise NotUnderstoodError(str(error)) from error
        await self._bus.publish(pushed, id=cause.derive(identity.GIT_PUSH))
