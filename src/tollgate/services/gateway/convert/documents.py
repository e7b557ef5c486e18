"""Images, documents and search results of a Messages request as parts of a chat message."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import CannotConvertError, Json, as_name, as_object, as_text, malformed

PDF = "application/pdf"
# https://platform.claude.com/docs/en/build-with-claude/vision
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
# Stands for an image or a PDF in a tool's result that the upstream cannot read. A refusal would end the session: the
# client cannot take the result back.
UNREADABLE = "({kind} was here. This model cannot read it.)"


def text_part(text: str) -> Json:
    return {"type": "text", "text": text}


def image(block: Json, field: str, options: Options, *, in_result: bool) -> Json:
    """An `image_url` part. Refused where the upstream takes no images; in a tool's result it becomes words."""
    source = as_object(block.get("source"), f"{field}.source")
    url = _image_url(source, f"{field}.source")
    if options.images:
        return {"type": "image_url", "image_url": {"url": url}}
    if in_result:
        return text_part(UNREADABLE.format(kind="An image"))
    words = f"{field}: this model cannot read images; remove the image or choose another model"
    raise CannotConvertError("image", field, words)


def _image_url(source: Json, field: str) -> str:
    match source.get("type"):
        case "base64":
            media_type = as_text(source.get("media_type"), f"{field}.media_type")
            if media_type not in IMAGES:
                raise malformed(f"{field}.media_type", ", ".join(IMAGES))
            return f"data:{media_type};base64,{as_name(source.get('data'), f'{field}.data')}"
        case "url":
            return _address(source, field)
        case "file":
            raise _uploaded(field)
    raise malformed(f"{field}.type", "'base64' or 'url'")


def _address(source: Json, field: str) -> str:
    """An address that the upstream fetches. A local engine must not be sent to its own files."""
    url = as_name(source.get("url"), f"{field}.url")
    if not url.startswith(("https://", "http://")):
        raise malformed(f"{field}.url", "an address that begins with https:// or http://")
    return url


def document(block: Json, field: str, options: Options, *, in_result: bool) -> list[Json]:
    """A document as words, or a PDF as a `file` part where the upstream takes them.

    Citations cannot be asked of a chat upstream; `citations` is left out.
    """
    source = as_object(block.get("source"), f"{field}.source")
    within = f"{field}.source"
    match source.get("type"):
        case "text":
            return [text_part(_framed(block, field, as_text(source.get("data"), f"{within}.data")))]
        case "content":
            return _nested(block, field, source.get("content"), options, in_result=in_result)
        case "base64":
            return [_encoded(block, field, source, options, in_result=in_result)]
        case "url":
            return [_by_address(block, field, _address(source, within), options)]
        case "file":
            raise _uploaded(within)
    raise malformed(f"{within}.type", "'text', 'content', 'base64' or 'url'")


def _encoded(block: Json, field: str, source: Json, options: Options, *, in_result: bool) -> Json:
    data = as_name(source.get("data"), f"{field}.source.data")
    media_type = as_text(source.get("media_type"), f"{field}.source.media_type")
    if media_type.startswith("text/"):
        try:
            return text_part(_framed(block, field, base64.b64decode(data, validate=True).decode()))
        except (ValueError, binascii.Error):
            raise malformed(f"{field}.source.data", "base64 of UTF-8 text") from None
    if media_type != PDF:
        raise malformed(f"{field}.source.media_type", f"'{PDF}'")
    if options.documents:
        # The form of OpenAI's guide: https://developers.openai.com/api/docs/guides/file-inputs
        return _file(block, f"data:{PDF};base64,{data}")
    if in_result:
        return text_part(UNREADABLE.format(kind="A PDF"))
    raise _no_documents(field)


def _by_address(block: Json, field: str, url: str, options: Options) -> Json:
    if options.documents and options.document_urls:
        return _file(block, url)
    raise _no_documents(field)


def _file(block: Json, data: str) -> Json:
    title = block.get("title")
    name = title if isinstance(title, str) and title else "document.pdf"
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def _nested(block: Json, field: str, content: Any, options: Options, *, in_result: bool) -> list[Json]:
    """A document made of blocks: its texts as words, its images after them."""
    within = f"{field}.source.content"
    if isinstance(content, str):
        return [text_part(_framed(block, field, content))]
    if not isinstance(content, list):
        raise malformed(within, "text or a list of blocks")
    texts: list[str] = []
    images: list[Json] = []
    for place, inner in enumerate(content):
        inner = as_object(inner, f"{within}.{place}")
        if inner.get("type") == "image":
            images.append(image(inner, f"{within}.{place}", options, in_result=in_result))
        elif inner.get("type") == "text":
            texts.append(as_text(inner.get("text"), f"{within}.{place}.text"))
        else:
            raise malformed(f"{within}.{place}.type", "'text' or 'image'")
    return [text_part(_framed(block, field, "\n\n".join(texts))), *images]


def _framed(block: Json, field: str, text: str) -> str:
    title = _optional(block, "title", field)
    context = _optional(block, "context", field)
    head = [f"[Document: {title}]" if title else "[Document]", *([f"[Context: {context}]"] if context else [])]
    return "\n".join([*head, text, "[End of the document]"])


def _optional(block: Json, name: str, field: str) -> str:
    value = block.get(name)
    return "" if value is None else as_text(value, f"{field}.{name}")


def search_result(block: Json, field: str) -> Json:
    """A search result as words: title, source and texts."""
    title = as_text(block.get("title"), f"{field}.title")
    source = as_text(block.get("source"), f"{field}.source")
    content = block.get("content")
    if not isinstance(content, list):
        raise malformed(f"{field}.content", "a list of text blocks")
    texts = [
        as_text(as_object(inner, f"{field}.content.{place}").get("text"), f"{field}.content.{place}.text")
        for place, inner in enumerate(content)
    ]
    head = [f"[Search result: {title}]", f"[Source: {source}]"]
    return text_part("\n".join([*head, *texts, "[End of the search result]"]))


def _no_documents(field: str) -> CannotConvertError:
    words = f"{field}: this model cannot read PDF documents; send the text of the document or choose another model"
    return CannotConvertError("document", field, words)


def _uploaded(field: str) -> CannotConvertError:
    words = f"{field}: this model's server has no access to uploaded files; send the content instead of file_id"
    return CannotConvertError("uploaded_file", field, words)
