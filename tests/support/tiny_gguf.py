"""Writes a language model of a few hundred kilobytes: real GGUF, real tokenizer, random weights, so it speaks nonsense.

python -m tests.support.tiny_gguf FILE.gguf
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, LAYERS, FEED_FORWARD, CONTEXT = 64, 4, 2, 128, 32768
CALL, END = "<tool_call>\n", "<|im_end|>"
PRINTABLE = [chr(code) for code in range(0x21, 0x7F)]
# Logits are random but for these: what it says is printable, now and then it ends, and now and then it calls a tool,
# which llama.cpp lets it do only where a request offers one.
NEVER, SELDOM, SOMETIMES = -3.0, 0.9, 1.1
BIAS = {END: SELDOM, CALL: SOMETIMES}
# A chat model's template: turns between markers that are single tokens, tools listed first, calls as JSON between tags.
# From it llama.cpp learns how this model calls a tool, and can hold even random weights to that form.
TEMPLATE = """\
{%- if tools %}<|im_start|>system
# Tools
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
For each call return <tool_call>{"name": ..., "arguments": {...}}</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == "tool" %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.tool_calls %}<|im_start|>assistant
{{ message.content or "" }}
{%- for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def vocabulary() -> list[tuple[str, float, int]]:
    """(piece, score, kind): markers, one token for each byte so that any text can be read, and printable characters."""
    control, byte, normal = gguf.TokenType.CONTROL, gguf.TokenType.BYTE, gguf.TokenType.NORMAL
    tokens = [("<unk>", 0.0, int(gguf.TokenType.UNKNOWN))]
    tokens += [(marker, 0.0, int(control)) for marker in ("<s>", "</s>", "<|im_start|>", END)]
    tokens += [(f"<0x{value:02X}>", 0.0, int(byte)) for value in range(256)]
    return tokens + [(piece, -float(rank), int(normal)) for rank, piece in enumerate(["\u2581", CALL, *PRINTABLE])]


def write(file: Path, seed: int = 10) -> Path:
    """The same seed gives the same bytes. Asked with temperature 0, this one says a sentence and ends it."""
    tokens = vocabulary()
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_name("tiny random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece for piece, _, _ in tokens])
    writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([kind for _, _, kind in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(4)
    writer.add_unk_token_id(0)
    # Or "assistant" after a marker is read as " assistant", which no tool grammar expects.
    writer.add_add_space_prefix(False)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)
    _tensors(writer, [piece for piece, _, _ in tokens], np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _tensors(writer: gguf.GGUFWriter, pieces: list[str], random: np.random.Generator) -> None:
    def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        return random.normal(0, scale * columns**-0.5, (rows, columns)).astype(np.float32)

    def silent(weights: np.ndarray) -> np.ndarray:
        weights[0] = 0
        return weights

    ones = np.ones(WIDTH, dtype=np.float32)
    # Channel 0 is the same for every token and no layer writes to it: the one place for a bias.
    embedding = matrix(len(pieces), WIDTH, WIDTH**0.5)
    embedding[:, 0] = WIDTH**0.5
    output = matrix(len(pieces), WIDTH, 4)
    output[:, 0] = [BIAS.get(piece, 0 if len(piece) == 1 else NEVER) for piece in pieces]
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        name = f"blk.{layer}"
        writer.add_tensor(f"{name}.attn_norm.weight", ones)
        writer.add_tensor(f"{name}.ffn_norm.weight", ones)
        for part in ("attn_q", "attn_k", "attn_v"):
            writer.add_tensor(f"{name}.{part}.weight", matrix(WIDTH, WIDTH))
        writer.add_tensor(f"{name}.attn_output.weight", silent(matrix(WIDTH, WIDTH)))
        writer.add_tensor(f"{name}.ffn_gate.weight", matrix(FEED_FORWARD, WIDTH))
        writer.add_tensor(f"{name}.ffn_up.weight", matrix(FEED_FORWARD, WIDTH))
        writer.add_tensor(f"{name}.ffn_down.weight", silent(matrix(WIDTH, FEED_FORWARD)))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
