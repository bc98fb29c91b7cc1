"""`python -m webhook_ingress`."""

from estafette_common import service

from webhook_ingress.app import create_app
from webhook_ingress.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    service.run(create_app(settings), name="webhook-ingress", settings=settings)
