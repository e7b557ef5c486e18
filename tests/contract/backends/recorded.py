"""Four model servers that answer in the shape of vLLM, SGLang, TensorRT-LLM and Ollama, and remember what was asked.

    python recorded.py        listens on 8000; which server it is, the Host header says (vllm, sglang, trtllm, ollama)

The answers were written down from what is known of each engine's API (vLLM's and SGLang's OpenAI-compatible servers,
trtllm-serve, Ollama's /api/chat), not captured from running engines (docs/limits/not-tested.md). LiteLLM is real: its
requests and the use it makes of the answers. Standard library only: it runs in a container beside LiteLLM.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = "The sky is blue."
CALL = {"name": "get_weather", "arguments": {"city": "Oslo"}}
USAGE = {"prompt_tokens": 21, "completion_tokens": 7, "total_tokens": 28}
CREATED = 1_763_700_000
# The fields that each server adds to OpenAI's objects.
CHOICE = {
    "vllm": {"logprobs": None, "stop_reason": None, "token_ids": None},
    "sglang": {"logprobs": None, "matched_stop": 151645},
    "trtllm": {"logprobs": None, "stop_reason": None, "disaggregated_params": None, "avg_decoded_tokens_per_iter": 1.0},
}
BODY = {
    "vllm": {"service_tier": None, "system_fingerprint": None, "prompt_logprobs": None, "kv_transfer_params": None},
    "sglang": {"metadata": {"weight_version": "default"}},
    "trtllm": {"prompt_token_ids": None},
}
# ChatCompletionRequest of TensorRT-LLM's openai_protocol.py: OpenAI's part of it.
KNOWN_TO_TRTLLM = {
    *("messages", "model", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "max_completion_tokens"),
    *("max_tokens", "n", "presence_penalty", "response_format", "seed", "stop", "stream", "stream_options"),
    *("temperature", "top_p", "tools", "tool_choice", "user", "reasoning_effort", "prompt_ignore_length"),
}
asked: list[dict[str, Any]] = []


def wants_tool(body: dict[str, Any]) -> bool:
    return bool(body.get("tools")) and body["messages"][-1]["role"] == "user"


def completion(engine: str, body: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": TEXT, "reasoning_content": None, "tool_calls": []}
    reason = "stop"
    if wants_tool(body):
        message |= {"content": None, "tool_calls": [{"id": "chatcmpl-tool-1", "type": "function", "function": call()}]}
        reason = "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": reason, **CHOICE[engine]}
    return envelope(engine, body, "chat.completion") | {"choices": [choice], "usage": USAGE} | BODY[engine]


def chunks(engine: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    if wants_tool(body):
        whole = call()
        first = {"index": 0, "id": "chatcmpl-tool-1", "type": "function", "function": {**whole, "arguments": ""}}
        pieces = [
            {"index": 0, "function": {"arguments": part}} for part in (whole["arguments"][:9], whole["arguments"][9:])
        ]
        deltas: list[dict[str, Any]] = [{"tool_calls": [one]} for one in (first, *pieces)]
    else:
        deltas = [{"content": word} for word in ("The sky", " is", " blue.")]
    found = [
        part(engine, body, {"role": "assistant", "content": ""}, None),
        *(part(engine, body, d, None) for d in deltas),
    ]
    found.append(part(engine, body, {}, "tool_calls" if wants_tool(body) else "stop"))
    if (body.get("stream_options") or {}).get("include_usage"):
        found.append(envelope(engine, body, "chat.completion.chunk") | {"choices": [], "usage": USAGE})
    return found


def part(engine: str, body: dict[str, Any], delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    extra = CHOICE[engine] if reason else {"logprobs": None}
    choice = {"index": 0, "delta": delta, "finish_reason": reason, **extra}
    return envelope(engine, body, "chat.completion.chunk") | {"choices": [choice]}


def envelope(engine: str, body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{engine}", "object": kind, "created": CREATED, "model": body["model"]}


def call() -> dict[str, str]:
    return {"name": CALL["name"], "arguments": json.dumps(CALL["arguments"])}


def ollama(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of a streamed answer; joined they are the one of `"stream": false`."""
    stamp = {"model": body["model"], "created_at": "2026-11-21T12:00:00.000000Z"}
    if wants_tool(body):
        said: list[dict[str, Any]] = [{"role": "assistant", "content": "", "tool_calls": [{"function": CALL}]}]
    elif body.get("stream"):
        said = [{"role": "assistant", "content": word} for word in ("The sky", " is", " blue.")]
    else:
        said = [{"role": "assistant", "content": TEXT}]
    spent = {"total_duration": 5_000_000, "load_duration": 1_000, "prompt_eval_duration": 2_000, "eval_duration": 3_000}
    end = {"done_reason": "stop", "done": True, **spent, "prompt_eval_count": 21, "eval_count": 7}
    if not body.get("stream"):
        return [{**stamp, "message": said[0], **end}]
    return [
        *({**stamp, "message": message, "done": False} for message in said),
        {**stamp, "message": {"role": "assistant", "content": ""}, **end},
    ]


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/_asked":
            return self.answer(200, asked)
        return self.answer(200 if self.path == "/health" else 404, {})

    def do_DELETE(self) -> None:
        asked.clear()
        self.answer(200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or "{}")
        engine = self.headers["host"].split(":")[0]
        asked.append({"engine": engine, "path": self.path, "body": body, "headers": dict(self.headers.items())})
        if engine == "ollama":
            return self.for_ollama(body)
        if self.path != "/v1/chat/completions":
            return self.answer(404, {"detail": "Not Found"})
        if unknown := set(body) - KNOWN_TO_TRTLLM if engine == "trtllm" else None:
            return self.refuse(f"Extra inputs are not permitted: {', '.join(sorted(unknown))}")
        if "too long" in json.dumps(body["messages"]):
            return self.refuse(
                "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
            )
        if body.get("stream"):
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks(engine, body)] + ["data: [DONE]\n\n"]
            return self.stream("text/event-stream", lines)
        return self.answer(200, completion(engine, body))

    def for_ollama(self, body: dict[str, Any]) -> None:
        if self.path == "/api/show":
            return self.answer(
                200, {"capabilities": ["completion", "tools", "vision"], "model_info": {}, "template": ""}
            )
        if self.path != "/api/chat":
            return self.answer(404, {"error": "not found"})
        if "too long" in json.dumps(body["messages"]):
            return self.answer(400, {"error": "the prompt is too long for the context"})
        if body.get("stream"):
            return self.stream("application/x-ndjson", [json.dumps(line) + "\n" for line in ollama(body)])
        return self.answer(200, ollama(body)[0])

    def refuse(self, message: str) -> None:
        error = {"message": message, "type": "BadRequestError", "param": None, "code": 400}
        self.answer(400, {"object": "error", "error": error, **error})

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, kind: str, lines: list[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for line in [*lines, ""]:
            self.wfile.write(f"{len(line.encode()):x}\r\n{line}\r\n".encode())

    def log_message(self, *_: object) -> None:
        """Nothing: what was asked is at /_asked."""


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8000), Server).serve_forever()  # noqa: S104  in a container
