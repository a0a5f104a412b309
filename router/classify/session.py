"""Messages come in, what they show of their session goes out: which one it is, and whether it is stuck."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

# The result of a tool is an error if it says so near its start.
_ERROR = re.compile(
    r"\b(?:\w*error|\w*exception|traceback|fail(?:ed|ure|s)?|fatal|denied|not found|no such|timed? ?out|cannot|invalid|"
    r"exit(?: code|ed with| status)?:? [1-9]\d*)\b",
    re.IGNORECASE,
)
_ERROR_CHARS = 600
# Numbers, addresses and times differ between two reports of one error.
_CHANGING = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)
# Results of tools before the last one among which the same error counts as repeated.
_RECENT_RESULTS = 6

# Words by which people say that an answer is wrong, in the most spoken languages.
_COMPLAINTS = (
    r"still (?:fails?|failing|broken|wrong|not|doesn'?t|does not|the same|getting|isn'?t)",
    r"(?:does|do|did|is|it'?s)(?:n'?t| not) (?:work|working|right|correct|what i)",
    r"that'?s (?:wrong|not)|same error|wrong again|not what i (?:asked|meant|wanted)",
    r"nope|you (?:broke|forgot|misunderstood)",
    r"immer noch|funktioniert (?:immer noch )?nicht|geht (?:immer noch )?nicht|das ist falsch|stimmt nicht|derselbe fehler",
    r"toujours (?:pas|le même|la même)|ne (?:marche|fonctionne) pas|c'est faux|même erreur",
    r"sigue (?:sin|fallando|igual)|no funciona|está mal|mismo error|ainda não|não funciona|está errado|mesmo erro",
    r"non funziona|ancora (?:lo stesso|sbagliato)|è sbagliato|werkt (?:nog steeds )?niet|nog steeds",
    r"nadal nie|nie działa|źle",
    r"hâlâ|çalışmıyor|yanlış|masih (?:salah|error|gagal)|tidak (?:jalan|berfungsi)",
    r"vẫn (?:lỗi|không|sai)|không (?:chạy|đúng)",
)
# Scripts without spaces between words, or with endings that a word boundary would miss.
_COMPLAINTS_ANYWHERE = (
    r"всё ещё|все еще|не работает|неправильно|опять|还是不|不对|错了|没用|不行|まだ|動かない|違う|間違",
    r"안 ?돼|안 ?되|틀렸|아직도",
    r"अभी भी|गलत|काम नहीं|لا يعمل|خطأ|ما زال",
)
_WRONG = re.compile(rf"\b(?:{'|'.join(_COMPLAINTS)})\b|{'|'.join(_COMPLAINTS_ANYWHERE)}", re.IGNORECASE)
# A longer text may hold such words in its material.
_LONGEST_COMPLAINT = 200
_REFUSAL = re.compile(
    r"\s*(?:I(?:'m| am) sorry,? but I (?:can(?:'|no)t|am unable)|I (?:can(?:'|no)t|won't|am (?:not able|unable) to) "
    r"(?:help|assist|comply|do that|provide|fulfil)|Sorry, I can't|Es tut mir leid, aber|Je suis désolé"
    r"|Lo siento, pero|我无法|抱歉)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What messages show of their session.

    Attributes:
        id: A hash of the system prompt and the first request. All requests of one conversation have it. Empty for a single
            text.
        in_tool_call: Whether the last message is the result of a tool, so that the model is in the middle of its turn.
        stuck: Why the session seems to make no progress, as a part of a sentence. Empty if it does not.
    """

    id: str = ""
    in_tool_call: bool = False
    stuck: str = ""


NO_SESSION = Session()


def read_session(messages: Sequence[Mapping[str, Any]], texts: Sequence[Sequence[str]], request: str) -> Session:
    """Return what messages show of their session.

    Args:
        messages: Chat messages in the OpenAI form. Parts in Anthropic's form may hold calls and results of tools.
        texts: The texts of each message.
        request: The person's own words in the last message of the user.
    """
    in_tool_call = bool(_read_results(messages[-1]))
    return Session(
        id=_find_id(messages, texts),
        in_tool_call=in_tool_call,
        stuck=_find_trouble(messages, texts, in_tool_call=in_tool_call, request=request),
    )


def _find_id(messages: Sequence[Mapping[str, Any]], texts: Sequence[Sequence[str]]) -> str:
    roles = [message["role"] for message in messages]
    first = roles.index("user") + 1 if "user" in roles else len(roles)
    digest = blake2b(digest_size=16)
    for parts in texts[:first]:
        content = "\n".join(parts).encode("utf-8", "replace")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def _find_trouble(
    messages: Sequence[Mapping[str, Any]], texts: Sequence[Sequence[str]], *, in_tool_call: bool, request: str
) -> str:
    if in_tool_call:
        results = [_name_error(result) for message in messages for result in _read_results(message)]
        return "the same tool error again" if results[-1] and results[-1] in results[-1 - _RECENT_RESULTS : -1] else ""
    answers = [_refuses(message, parts) for message, parts in zip(messages, texts, strict=True) if _is_answer(message)]
    if len(answers) > 1 and all(answers[-2:]):
        return "it was refused twice"
    if answers and len(request) <= _LONGEST_COMPLAINT and _WRONG.search(request):
        return "the user says that the answer is wrong"
    return ""


def _read_results(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results of tools in a message."""
    if message["role"] in ("tool", "function") and not isinstance(message.get("content"), list):
        # An item of a response that calls a tool is no result.
        return [] if "arguments" in message else [message]
    content = message.get("content")
    parts = content if isinstance(content, (list, tuple)) else ()
    results = [part for part in parts if isinstance(part, Mapping) and part.get("type") == "tool_result"]
    return results or ([message] if message["role"] == "tool" else [])


def _name_error(result: Mapping[str, Any]) -> str:
    """Return the error that a result reports, without what changes from one to the next. Empty if it reports none."""
    text = _find_text(result.get("content") or result.get("output"))[:_ERROR_CHARS]
    return _CHANGING.sub("0", text.casefold()) if result.get("is_error") or _ERROR.search(text) else ""


def _find_text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, (list, tuple)) else ()
    return "\n".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))


def _is_answer(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and not message.get("tool_calls")


def _refuses(message: Mapping[str, Any], texts: Sequence[str]) -> bool:
    return bool(message.get("refusal")) or any(map(_REFUSAL.match, texts[:1]))
