"""Delivery of alerts by mail."""

from __future__ import annotations

import html
import smtplib
import ssl
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from .delivery_outcomes import PermanentError, TemporaryError, secret_of
from .watch_config import Mail
from .watch_state import Delivery

_NOTE = (
    "Maps have errors, and the outlines given may be incomplete or out of date: this message does not decide "
    "whether anything is permitted."
)
_SIMULATED = "This alert comes from simulated images."


def mail_message(delivery: Delivery, mail: Mail, pictures: Mapping[str, Path]) -> EmailMessage:
    """The mail of an alert: plain text and HTML, with its pictures.

    The Message-ID is the same for every try, so that a repeated message is recognised.

    Args:
        delivery: The entry of the outbox.
        mail: Sender and receivers.
        pictures: Files to attach by their titles, "before" and "after".
    """
    values = delivery.document["properties"]
    message = EmailMessage(policy=SMTP)
    message["Subject"] = _one_line(f"[{delivery.event}] {values['title']}")
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.to)
    message["Date"] = format_datetime(datetime.fromisoformat(delivery.time))
    message["Message-ID"] = f"<{delivery.id}@{mail.sender.rsplit('@', 1)[1]}>"
    message["Auto-Submitted"] = "auto-generated"
    rows = alert_rows(delivery)
    message.set_content("\n".join([values["sentence"], "", *(f"{name}: {value}" for name, value in rows)]))
    shown = "".join(f'<p><img src="cid:{title}" alt="{title}"><br>{title}</p>' for title in pictures)
    cells = "".join(f"<tr><th>{_escaped(name)}</th><td>{_escaped(value)}</td></tr>" for name, value in rows)
    message.add_alternative(
        f"<p>{_escaped(values['sentence'])}</p>{shown}<table>{cells}</table>", subtype="html"
    )
    page = message.get_payload()[1]  # type: ignore[index]  # the HTML part of a multipart message
    for title, path in pictures.items():
        page.add_related(  # type: ignore[union-attr]
            path.read_bytes(), "image", "png", cid=f"<{title}>", filename=f"{title}.png"
        )
    return message


def alert_rows(delivery: Delivery) -> list[tuple[str, str]]:
    """The facts of an alert as pairs of name and value."""
    values = delivery.document["properties"]
    area = values["area_ha"]
    rows = [
        ("Site", values["site"]),
        ("Event", delivery.event),
        ("Area", "" if area is None else f"{area:.2f} ha"),
        ("Interval", _interval(values)),
        (
            "Place",
            "" if values["longitude"] is None else f"{values['latitude']:.5f}, {values['longitude']:.5f}",
        ),
        ("First image", values["year"]),
        ("Latest image", values["last_year"]),
        ("Images", ", ".join(values["images"])),
        ("Models", ", ".join(values["models"])),
        ("Outlines given", values["permits"]),
        ("Alert", values["id"]),
        ("Note", f"{_NOTE} {_SIMULATED}" if values["simulated"] else _NOTE),
    ]
    return [(name, _one_line(value)) for name, value in rows if value != ""]


def _interval(values: Mapping[str, Any]) -> str:
    if values["low_ha"] is None:
        return ""
    return f"{values['low_ha']:.2f} to {values['high_ha']:.2f} ha ({values['interval']})"


def send_mail(message: EmailMessage, mail: Mail, *, context: ssl.SSLContext | None = None) -> str:
    """Send a mail.

    Args:
        message: The mail.
        mail: The server.
        context: Certificates to trust; by default the system's.

    Returns:
        A sentence on receivers that the server refused; "" without any.

    Raises:
        TemporaryError: The server does not answer, or asks to come back.
        PermanentError: The server refuses the message for good.
    """
    password = None if mail.password_env is None else secret_of(mail.password_env)
    trusted = context or ssl.create_default_context()
    with ExitStack() as stack:
        try:
            if mail.security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    mail.host, mail.port, timeout=mail.timeout, context=trusted
                )
            else:
                server = smtplib.SMTP(mail.host, mail.port, timeout=mail.timeout)
            stack.callback(server.close)
            if mail.security == "starttls":
                server.starttls(context=trusted)
            if mail.user is not None and password is not None:
                server.login(mail.user, password)
            refused = server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            kind = PermanentError if min(codes) >= 500 else TemporaryError
            raise kind(f"{mail.host}: refused all receivers ({codes[0]}).") from error
        except smtplib.SMTPAuthenticationError as error:
            # The password may be mended without any change of the configuration.
            raise TemporaryError(f"{mail.host}: refused user and password ({error.smtp_code}).") from error
        except smtplib.SMTPResponseException as error:
            permanent = error.smtp_code >= 500
            words = f"{mail.host}: answered {error.smtp_code} {_one_line(error.smtp_error)[:200]}."
            raise (PermanentError if permanent else TemporaryError)(words) from error
        except smtplib.SMTPNotSupportedError as error:
            raise TemporaryError(f"{mail.host}: offers no {mail.security} or sign-in ({error}).") from error
        except (smtplib.SMTPException, OSError) as error:
            raise TemporaryError(f"{mail.host}: did not take the message ({_one_line(error)}).") from error
        with suppress(smtplib.SMTPException, OSError):  # the server has accepted the message
            server.quit()
    return f"Refused receivers: {', '.join(sorted(refused))}." if refused else ""


def _one_line(value: object) -> str:
    """Text without line breaks, which would end a header."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _escaped(text: str) -> str:
    return html.escape(str(text))
