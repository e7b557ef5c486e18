"""The embedded provider: a real HTTP upstream with the OpenAI and Anthropic APIs, without a language model.

The same request gets the same answer. Dials make it slow or make it fail, and it records requests for tests. With it, a
gateway works without a provider key. README.md in this directory lists the dials.

Run it with `python -m tollgate.services.provider`; it needs only starlette and uvicorn.
"""
