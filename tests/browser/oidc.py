"""An OpenID Connect provider for tests: the authorization code flow with PKCE, on a port of this machine.

It keeps what the standard asks of a provider (OpenID Connect Core 1.0, sections 3.1.2 and 3.1.3; RFC 7636): the client
and its address are known beforehand, a code serves once and with its verifier only, the client proves its secret, and
the ID token is a JWT signed with RS256 by a key of the published set.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "studio", "a secret that only the Studio and its provider know"


class Provider:
    """The provider; a context manager that serves while it is entered.

    Args:
        people: the claims of everybody with an account, by the name on the button that signs them in.
    """

    def __init__(self, people: dict[str, dict[str, Any]]):
        self.people = people
        self.redirect_uri = ""
        self.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
        self.signing_key = self.key
        self.codes: dict[str, dict[str, Any]] = {}
        self.refused: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Provider:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def secrets_toml(self, redirect_uri: str) -> str:
        """What the Studio's ``secrets.toml`` says about this provider."""
        self.redirect_uri = redirect_uri
        return (
            f'[auth]\nredirect_uri = "{redirect_uri}"\ncookie_secret = "{secrets.token_hex(32)}"\n'
            f'client_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
            f'server_metadata_url = "{self.issuer}/.well-known/openid-configuration"\n'
        )

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "profile"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
        }

    def ask(self, query: dict[str, str]) -> str:
        """The page on which a person chooses an account."""
        self._check(query.get("client_id") == CLIENT, "unknown client")
        self._check(query.get("redirect_uri") == self.redirect_uri, "unregistered redirect_uri")
        self._check(query.get("response_type") == "code", "unsupported response_type")
        self._check("openid" in query.get("scope", "").split(), "scope without openid")
        self._check(query.get("code_challenge_method") == "S256" and bool(query.get("code_challenge")), "no PKCE")
        self._check(bool(query.get("state")) and bool(query.get("nonce")), "no state or nonce")
        links = ""
        for name in self.people:
            code = secrets.token_urlsafe()
            self.codes[code] = {**query, "person": name, "until": time.time() + 60}
            back = f"{self.redirect_uri}?{urlencode({'code': code, 'state': query['state']})}"
            links += f'<p><a href="{html.escape(back)}">{html.escape(name)}</a></p>'
        return f"<!doctype html><title>Provider</title><h1>Choose an account</h1>{links}"

    def token(self, form: dict[str, str], authorization: str | None) -> dict[str, Any]:
        """Exchanges a code for an ID token."""
        client, secret = form.get("client_id"), form.get("client_secret")
        if authorization and authorization.startswith("Basic "):
            client, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            secret = parse_qs(f"s={secret}")["s"][0]  # RFC 6749, 2.3.1: form-encoded before Basic
        self._check((client, secret) == (CLIENT, SECRET), "wrong client secret")
        self._check(form.get("grant_type") == "authorization_code", "unsupported grant_type")
        request = self.codes.pop(form.get("code", ""), None)
        self._check(request is not None and request["until"] > time.time(), "unknown, used or old code")
        assert request is not None
        self._check(form.get("redirect_uri") == request["redirect_uri"], "another redirect_uri")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self._check(secrets.compare_digest(challenge, request["code_challenge"]), "wrong code_verifier")
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": hashlib.sha256(request["person"].encode()).hexdigest()[:16], "aud": CLIENT,
            "iat": now, "exp": now + 300, "nonce": request["nonce"], **self.people[request["person"]],
        }  # fmt: skip
        id_token = jwt.encode({"alg": "RS256", "kid": "first"}, claims, self.signing_key)
        return {"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "expires_in": 300,
                "id_token": id_token}  # fmt: skip

    def _check(self, fine: bool, why: str) -> None:
        if not fine:
            self.refused.append(why)
            raise ValueError(why)


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == "/.well-known/openid-configuration":
                self._json(200, provider.metadata())
            elif address.path == "/jwks":
                self._json(200, {"keys": [provider.key.as_dict(private=False)]})
            elif address.path == "/authorize":
                try:
                    self._send(200, "text/html", provider.ask(_flat(address.query)).encode())
                except ValueError as error:
                    self._send(400, "text/plain", str(error).encode())
            else:
                self._send(404, "text/plain", b"not here")

        def do_POST(self) -> None:
            form = _flat(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
            try:
                self._json(200, provider.token(form, self.headers.get("Authorization")))
            except ValueError as error:
                self._json(400, {"error": "invalid_grant", "error_description": str(error)})

        def _json(self, status: int, document: dict[str, Any]) -> None:
            self._send(status, "application/json", json.dumps(document).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None: ...

    return Handler


def _flat(encoded: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(encoded).items()}
