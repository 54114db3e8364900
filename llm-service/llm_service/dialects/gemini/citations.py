"""Gemini's grounding and citation metadata ⇄ canonical citations. Gemini counts bytes of UTF-8, we count characters."""

from collections.abc import Iterator, Sequence
from typing import Any

from llm_service.canonical.request import Citation, Native

Json = dict[str, Any]


def read_grounding(grounding: Json, text: str) -> Iterator[Citation]:
    """A citation for every supported segment and its source, or for every source where no segment is told.

    The first carries all of the metadata as its `native`: search suggestions have to be shown with the answer
    (https://ai.google.dev/gemini-api/docs/google-search). `text` is the block that is cited.
    """
    native: Native | None = Native(dialect="gemini", value={"groundingMetadata": grounding})
    chunks = [_source(chunk) for chunk in grounding.get("groundingChunks") or ()]
    found: list[tuple[Json, int | None, int | None]] = []
    for support in grounding.get("groundingSupports") or ():
        start, end = _span(text, support.get("segment") or {})
        numbers = support.get("groundingChunkIndices") or ()
        found += [(chunks[number], start, end) for number in numbers if 0 <= number < len(chunks)]
    for source, start, end in found or [(chunk, None, None) for chunk in chunks]:
        yield Citation(**source, start=start, end=end, native=native)
        native = None


def read_citations(metadata: Json, text: str) -> Iterator[Citation]:
    """What the model recited (`citationMetadata`)."""
    for source in metadata.get("citations") or metadata.get("citationSources") or ():
        start, end = _span(text, source)
        yield Citation(
            url=source.get("uri"),
            title=source.get("title"),
            start=start,
            end=end,
            native=Native(dialect="gemini", value={"citationMetadata": {"citations": [source]}}),
        )


def render_citations(citations: Sequence[Citation], text: str) -> Json:
    """`groundingMetadata` and `citationMetadata` of a candidate: Gemini's own where there is one."""
    own = [one.native.value for one in citations if one.native and one.native.dialect == "gemini"]
    recited = [source for value in own for source in value.get("citationMetadata", {}).get("citations", ())]
    rendered: Json = {"citationMetadata": {"citations": recited}} if recited else {}
    grounding = next((value["groundingMetadata"] for value in own if "groundingMetadata" in value), None)
    if grounding is None and citations and not own:
        grounding = _grounding(citations, text)
    return {**rendered, "groundingMetadata": grounding} if grounding else rendered


def _grounding(citations: Sequence[Citation], text: str) -> Json:
    chunks: list[Json] = []
    supports: list[Json] = []
    for one in citations:
        web = {"uri": one.url, "title": one.title}
        chunk = {"web": {name: value for name, value in web.items() if value is not None}}
        if chunk not in chunks:
            chunks.append(chunk)
        if one.start is not None and one.end is not None:
            cited = text[one.start : one.end]
            start = len(text[: one.start].encode())
            segment = {"startIndex": start, "endIndex": start + len(cited.encode()), "text": cited}
            supports.append({"segment": segment, "groundingChunkIndices": [chunks.index(chunk)]})
    return {"groundingChunks": chunks, "groundingSupports": supports}


def _source(chunk: Json) -> Json:
    """Of whatever kind it is: `web`, `retrievedContext`, `maps`, `image`."""
    told: Json = next((value for value in chunk.values() if isinstance(value, dict)), {})
    named = {"url": told.get("uri") or told.get("sourceUri"), "title": told.get("title")}
    return {**named, "cited_text": told.get("text")}


def _span(text: str, segment: Json) -> tuple[int | None, int | None]:
    """Where a segment stands in `text`, or nothing where that is not certain: offsets may count an earlier block."""
    raw = text.encode()
    start, end = segment.get("startIndex") or 0, segment.get("endIndex")
    said = segment.get("text")
    if said:
        at = len(raw[:start].decode(errors="ignore")) if raw[start:end] == said.encode() else text.find(said)
        return (at, at + len(said)) if at >= 0 else (None, None)
    if end is None or not 0 <= start <= end <= len(raw):
        return None, None
    try:
        at = len(raw[:start].decode())
        return at, at + len(raw[start:end].decode())
    except UnicodeDecodeError:
        return None, None
