"""Take the address of a server and its peculiarities, check them, and return what a request to it needs."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import get_args
from urllib.parse import SplitResult, parse_qsl, urlsplit

from router.errors import CallError, InputError
from router.types import WireProtocol

_CHAT: tuple[WireProtocol, ...] = ("chat",)
OPENAI_URL = "https://api.openai.com/v1"
_OPENAI_KEY_ENV = "OPENAI_API_KEY"
# Names of environment variables. Anything else in that place may be a key, so no error repeats it.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# Keys that consist of the characters of a name: they have a known prefix, or small letters and digits in a long word.
_LIKE_A_KEY = re.compile(
    r"(sk|gsk|hf|r8|fw|tgp|pplx|nvapi|xai|key)_\w{8,}|AIza\w{10,}|AKIA\w{12,}|(?=\w*[a-z])(?=\w*\d)\w{24,}"
)
_PASTED_PATHS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/messages", "/models")
_LONG_WORD = re.compile(r"\w[\w-]{18,}\w|^(sk|gsk|hf|xai)[-_]")
_SECRET_NAMES = re.compile(
    r"(x[-_])?((api|auth|access)[-_]?)?(key|token|secret)|(proxy-)?authorization|x-goog-api-key|cookie", re.IGNORECASE
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Address of a server. It contains no key, only the name of an environment variable.

    Attributes:
        base_url: URL without `/chat/completions`. A query such as `?api-version=2024-10-21` stays behind the path.
        key_env: Name of the environment variable with the key, read at every request. None: no key is sent, except
            `OPENAI_API_KEY` to OpenAI itself.
        key_header: Header that carries the key. `Authorization` carries it as a bearer token, any other one as it is.
        model: Name of the model at the server, or a name for each of the router's models. None: the router's name.
        headers: More headers for each request, without secrets. Their values are in no repr.
        rename: Parameters that the server knows by another name, such as `{"max_tokens": "max_completion_tokens"}`.
        drop: Parameters that the server does not take.
        stream_usage: Whether to request the usage at the end of a stream. A server that refuses it is asked again without.
        protocols: What the server speaks: `chat` (OpenAI's chat completions), `responses` (OpenAI's), `messages`
            (Anthropic's). `complete` needs `chat`. The gateway passes on requests of all three.

    Raises:
        InputError: If the URL has no scheme or host or contains the path of a request, or a name or header is invalid.

    >>> Endpoint(base_url="http://localhost:8000/v1", model="qwen3").name_of("our-model")
    'qwen3'
    >>> Endpoint(base_url="https://openrouter.ai/api/v1", key_env="OPENROUTER_API_KEY", model={"gpt-5.5": "openai/gpt-5.5"})
    Endpoint('https://openrouter.ai/api/v1', key_env='OPENROUTER_API_KEY')
    """

    base_url: str = OPENAI_URL
    key_env: str | None = None
    key_header: str = "Authorization"
    model: str | Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    drop: Collection[str] = ()
    stream_usage: bool = True
    protocols: Collection[WireProtocol] = _CHAT

    def __post_init__(self) -> None:
        _check_url(self.base_url)
        _check_key_env(self.key_env)
        _check_texts("model", self.model if isinstance(self.model, Mapping) else {"model": self.model or "any"})
        _check_texts("headers", self.headers)
        _check_texts("rename", self.rename)
        is_collection = isinstance(self.drop, Collection) and not isinstance(self.drop, str)
        if not is_collection or not all(isinstance(name, str) for name in self.drop):
            raise InputError(f"drop must be a collection of parameters, such as {{'stream_options'}}, got {self.drop!r}")
        known = get_args(WireProtocol)
        if isinstance(self.protocols, str) or not self.protocols or not set(self.protocols) <= set(known):
            raise InputError(f"protocols must name one or more of {', '.join(known)}, got {self.protocols!r}")
        if not isinstance(self.key_header, str):
            raise InputError(f"key_header must be the name of a header, got {type(self.key_header).__name__}")
        for name, value in {self.key_header: "", **self.headers}.items():
            if not _HEADER_NAME.fullmatch(name) or not ((value.isascii() and value.isprintable()) or not value):
                raise InputError("headers must have the names and printable ASCII values of HTTP headers; correct them")
        if any(_SECRET_NAMES.fullmatch(name) for name in self.headers):
            raise InputError("headers must not contain a key; name its variable in key_env and its header in key_header")

    def __repr__(self) -> str:
        # Headers may hold a tenant's name, and a query may hold what somebody pasted.
        url = self.base_url.partition("?")[0]
        return f"{type(self).__name__}({url!r}, key_env={self.key_env!r})"

    @property
    def url(self) -> str:
        """The URL without its query."""
        return self.base_url.partition("?")[0]

    @property
    def server(self) -> str:
        """Scheme, host and port of the URL."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def query(self) -> dict[str, str]:
        """The query of the URL, by name."""
        return dict(parse_qsl(urlsplit(self.base_url).query, keep_blank_values=True))

    def name_of(self, model: str) -> str:
        """Return the server's name of one of the router's models."""
        if isinstance(self.model, Mapping):
            return self.model.get(model, model)
        return self.model or model

    def key_headers(self) -> dict[str, str]:
        """Return the header with the key, from the environment. Empty if no key is sent.

        Raises:
            CallError: If the variable holds no key.
        """
        name = self.key_env or (_OPENAI_KEY_ENV if _is_openai(urlsplit(self.base_url)) else None)
        if name is None:
            return {}
        key = os.environ.get(name, "").strip()
        # Other characters cannot stand in a header. httpx would raise an error that contains the key.
        if not (key and key.isascii() and key.isprintable()):
            raise CallError("auth", f"the environment variable {name} holds no key")
        return {self.key_header: f"Bearer {key}" if self.key_header.lower() == "authorization" else key}


def _is_openai(url: SplitResult) -> bool:
    return (url.scheme, url.hostname) == ("https", "api.openai.com")


def _check_url(base_url: object) -> None:
    if not isinstance(base_url, str):
        raise InputError(f"base_url must be a string, got {type(base_url).__name__}")
    try:
        url = urlsplit(base_url)
        host, _ = url.hostname, url.port
    except ValueError:
        raise InputError("base_url must be a URL such as 'https://host/v1'; correct its host or port") from None
    if url.username is not None or url.password is not None:
        raise InputError("base_url must not contain a user or a password; name the key's variable in key_env")
    if any(_SECRET_NAMES.fullmatch(name) for name, _ in parse_qsl(url.query)):
        raise InputError("base_url must not contain a key; name its variable in key_env and its header in key_header")
    if url.scheme not in ("http", "https") or not host or any(letter.isspace() for letter in base_url):
        # A key pasted into the wrong place must not be repeated.
        got = "a text that may be a key" if _LONG_WORD.search(base_url) else repr(base_url)
        raise InputError(f"base_url must be a URL such as 'https://host/v1', got {got}; begin with http:// or https://")
    path = url.path.rstrip("/")
    for pasted in _PASTED_PATHS:
        if path.endswith(pasted):
            rest = path.removesuffix(pasted)
            raise InputError(f"base_url must end before {pasted}, which the SDK adds, got {url.path!r}; write {rest!r}")
    if url.fragment:
        raise InputError("base_url must have no fragment (#...); remove it")


def _check_key_env(name: object) -> None:
    if name is None:
        return
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or _LIKE_A_KEY.fullmatch(name):
        # No error repeats the value: it may be the key itself.
        raise InputError(
            "key_env must be the name of an environment variable that holds the key, such as 'OPENAI_API_KEY'; "
            "never write the key itself there"
        )


def _check_texts(name: str, values: object) -> None:
    texts = [text for pair in values.items() for text in pair] if isinstance(values, Mapping) else [None]
    if not all(isinstance(text, str) and text for text in texts):
        raise InputError(f"{name} must map names to texts that are not empty; correct it")
