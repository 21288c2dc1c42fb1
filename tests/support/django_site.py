"""A Django site with a dashboard in its URLconf: ``python -m tests.support.django_site wsgi|asgi PORT FOLDER``."""

import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from tests.support.dashboards import eventually
from tests.support.processes import ROOT
from tests.support.redis_server import free_port

PASSWORD = "let-me-in"


def _set_up(folder):
    import django
    from django.conf import settings

    apps = ["admin", "auth", "contenttypes", "sessions", "messages"]
    settings.configure(
        SECRET_KEY="of the tests", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, USE_TZ=True,
        INSTALLED_APPS=[f"django.contrib.{name}" for name in apps],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[{
            "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
            "OPTIONS": {"context_processors": [
                "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]},
        }],
        LOGIN_REDIRECT_URL="/canvas/", SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies", LOGIN_URL="/login/",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"], CSRF_COOKIE_HTTPONLY=True,
        DATABASES={"default": {
            "ENGINE": "django.db.backends.sqlite3", "NAME": str(Path(folder) / "site.db"), "ATOMIC_REQUESTS": True,
        }},
        MIGRATION_MODULES=dict.fromkeys(apps), DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )  # fmt: skip
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    User.objects.create_superuser("ann", password=PASSWORD)
    User.objects.create_user("bob", password=PASSWORD)


def _patterns():
    from django.contrib import admin
    from django.contrib.auth.views import LoginView
    from django.urls import path

    from canvas import Canvas
    from canvas.dashboard import dashboard_urls

    app = Canvas("site", broker="memory://", backend="memory://", set_as_current=False)
    app.conf.beat_schedule = {"nightly": {"task": "t.add", "schedule": 3600.0}}
    login = path("login/", LoginView.as_view(template_name="admin/login.html"))
    return [path("admin/", admin.site.urls), login, path("canvas/", dashboard_urls(app))]


def _serve(kind, port):
    global urlpatterns
    urlpatterns = _patterns()
    if kind == "wsgi":
        from django.core.servers.basehttp import WSGIRequestHandler, WSGIServer, run
        from django.core.wsgi import get_wsgi_application

        WSGIRequestHandler.log_message = lambda *_: None
        run("127.0.0.1", port, get_wsgi_application(), threading=True, server_cls=WSGIServer)
    else:
        import uvicorn
        from django.core.asgi import get_asgi_application

        uvicorn.run(get_asgi_application(), host="127.0.0.1", port=port, log_level="warning", lifespan="off",
                    timeout_graceful_shutdown=1)  # fmt: skip


class Site:
    """The site, as a browser sees it."""

    def __init__(self, kind, port):
        self.kind = kind
        self.url = f"http://127.0.0.1:{port}"

    @contextmanager
    def client(self, user=None):
        """A client with cookies; ``user``: who has signed in by the form."""
        with closing(httpx.Client(base_url=self.url, timeout=60)) as client:
            if user is not None:
                client.get("/login/")
                form = {"username": user, "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
                client.post("/login/", data=form)
                assert "sessionid" in client.cookies
            yield client


@contextmanager
def django_site(kind, folder):
    """The site, served by a process of its own, by WSGI or ASGI."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.django_site", kind, str(port), str(folder)]
    process = subprocess.Popen(command, cwd=ROOT)

    def answers():
        try:
            return httpx.get(f"http://127.0.0.1:{port}/nothing").status_code == 404
        except httpx.TransportError:
            assert process.poll() is None
            return False

    try:
        eventually(answers, 90)
        yield Site(kind, port)
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    sys.modules["tests.support.django_site"] = sys.modules["__main__"]
    _set_up(sys.argv[3])
    _serve(sys.argv[1], int(sys.argv[2]))
