"""Mail, to a server on this machine that keeps or refuses it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email import policy
from email.parser import BytesParser
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from euromine.watch.delivery_outcomes import PermanentError, TemporaryError
from euromine.watch.mail_delivery import mail_message, send_mail
from euromine.watch.watch_config import Mail


class Inbox:
    """Keeps messages; answers receivers and data as it was told to."""

    def __init__(self, *, receivers: dict[str, str] | None = None, data: str = "250 OK") -> None:
        self.messages: list[Any] = []
        self.receivers = receivers or {}
        self.data = data

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        answer = self.receivers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        if self.data.startswith("250"):
            self.messages.append(BytesParser(policy=policy.default).parsebytes(envelope.content))
        return self.data


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def start(authority) -> Iterator[Callable[..., Controller]]:
    """Starts servers, with STARTTLS and a user if asked."""
    running: list[Controller] = []

    def begin(inbox: Inbox, *, encrypted: bool = False, password: str | None = None) -> Controller:
        options: dict[str, Any] = {}
        if encrypted:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("localhost").configure_cert(context)
            options |= {"tls_context": context, "require_starttls": True}
        if password is not None:

            def sign_in(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
                right = isinstance(data, LoginPassword) and data.password == password.encode()
                return AuthResult(success=right, handled=False)

            options |= {"authenticator": sign_in, "auth_required": True}
        with socket.create_server(("127.0.0.1", 0)) as free:  # aiosmtpd takes no port 0
            port = free.getsockname()[1]
        controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
        controller.start()
        running.append(controller)
        return controller

    yield begin
    for each in running:
        each.stop()


def mail_to(controller: Controller, **fields: Any) -> Mail:
    port = controller.server.sockets[0].getsockname()[1]
    values = {
        "to": ("officer@example.org",),
        "sender": "watch@example.org",
        "host": "localhost",
        "port": port,
        "security": "none",
        "timeout": 3,
    }
    return Mail(**{**values, **fields})


def test_a_message_has_text_page_pictures_and_the_facts(start, delivery, tmp_path) -> None:
    inbox = Inbox()
    mail = mail_to(start(inbox))
    picture = tmp_path / "p.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\nrest")
    assert send_mail(mail_message(delivery(), mail, {"after": picture}), mail) == ""
    (message,) = inbox.messages
    assert message["Subject"] == "[suspected] New mining outside the outlines given: Germany_12"
    assert message["Message-ID"] == f"<{'d' * 32}@example.org>"
    assert message["To"] == "officer@example.org"
    text = message.get_body(("plain",)).get_content()
    page = message.get_body(("html",)).get_content()
    for fact in ("0.61 ha", "0.50 to 0.70 ha", "51.50000, 14.10000", "org/mapper@bbbbbbbbbbbb"):
        assert fact in text
        assert fact in page
    assert "illegal" not in (text + page).lower()
    assert 'src="cid:after"' in page
    (image,) = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert image.get_content() == picture.read_bytes()
    assert image["Content-ID"] == "<after>"


def test_line_breaks_and_tags_in_names_stay_text(start, delivery) -> None:
    inbox = Inbox()
    mail = mail_to(start(inbox))
    wicked = delivery(site="a\r\nBcc: thief@example.org\r\n\r\n<script>x</script>", sentence="<b>&")
    send_mail(mail_message(wicked, mail, {}), mail)
    (message,) = inbox.messages
    assert message["Bcc"] is None
    assert "Bcc: thief@example.org" in message["Subject"]
    page = message.get_body(("html",)).get_content()
    assert "<script>" not in page
    assert "&lt;b&gt;&amp;" in page


def test_starttls_and_sign_in(start, authority, delivery, monkeypatch) -> None:
    inbox = Inbox()
    mail = mail_to(
        start(inbox, encrypted=True, password="hush"), security="starttls", user="me", password_env="SMTP_P"
    )
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    message = mail_message(delivery(), mail, {})
    monkeypatch.setenv("SMTP_P", "hush")
    with pytest.raises(TemporaryError, match="CERTIFICATE_VERIFY_FAILED"):
        send_mail(message, mail)  # a certificate that nobody knows
    assert send_mail(message, mail, context=trusted) == ""
    assert len(inbox.messages) == 1
    monkeypatch.setenv("SMTP_P", "wrong")
    with pytest.raises(TemporaryError, match=r"^localhost: refused user and password \(535\)\.$"):
        send_mail(message, mail, context=trusted)
    monkeypatch.delenv("SMTP_P")
    with pytest.raises(TemporaryError, match=r"^The environment variable SMTP_P is not set\.$"):
        send_mail(message, mail, context=trusted)


def test_a_server_without_starttls_gets_no_password(start, delivery, monkeypatch) -> None:
    monkeypatch.setenv("SMTP_P", "hush")
    mail = mail_to(start(Inbox()), security="starttls", user="me", password_env="SMTP_P")
    with pytest.raises(TemporaryError, match="offers no starttls"):
        send_mail(mail_message(delivery(), mail, {}), mail)


@pytest.mark.parametrize(
    ("inbox", "error", "words"),
    [
        (Inbox(data="451 later"), TemporaryError, "answered 451 later"),
        (Inbox(data="554 never"), PermanentError, "answered 554 never"),
        (Inbox(receivers={"officer@example.org": "450 busy"}), TemporaryError, "refused all receivers"),
        (Inbox(receivers={"officer@example.org": "550 unknown"}), PermanentError, "refused all receivers"),
    ],
)
def test_refusals_for_now_and_for_good(start, delivery, inbox, error, words) -> None:
    mail = mail_to(start(inbox))
    with pytest.raises(error, match=rf"^localhost: {words}"):
        send_mail(mail_message(delivery(), mail, {}), mail)


def test_one_refused_receiver_of_two_is_named(start, delivery) -> None:
    inbox = Inbox(receivers={"gone@example.org": "550 unknown"})
    mail = mail_to(start(inbox), to=("officer@example.org", "gone@example.org"))
    problem = send_mail(mail_message(delivery(), mail, {}), mail)
    assert problem == "Refused receivers: gone@example.org."
    assert len(inbox.messages) == 1


def test_a_server_that_hangs_or_is_absent_is_tried_again(delivery) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        mail = Mail(to=("a@b",), sender="c@d", host="127.0.0.1", port=port, security="none", timeout=0.3)
        taker = threading.Thread(target=silent.accept, daemon=True)
        taker.start()
        with pytest.raises(TemporaryError, match=r"^127\.0\.0\.1: did not take the message"):
            send_mail(mail_message(delivery(), mail, {}), mail)
    with pytest.raises(TemporaryError, match="did not take the message"):
        send_mail(mail_message(delivery(), mail, {}), mail)
