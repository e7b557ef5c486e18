"""Anthropic Messages to OpenAI chat completions, and the answers back. Pure: no I/O, no clock, no randomness.

`request.to_chat` converts a request, `answer.to_messages` a whole answer, `stream.ChatStream` the bytes of a streamed
answer, and `estimate.input_tokens` guesses the size of a request. `options.Options` says what an upstream takes.

Shapes: Messages are those of the SDK anthropic 2.11.0 (types/beta), chat completions those of the SDK openai 3.52.0 and
of the servers that the docstrings name. A converted conversation of n turns is the beginning of the conversation of
n + 1 turns, byte for byte, so an upstream's prefix cache works.
"""
