"""The embedded provider: a real HTTP upstream that speaks the OpenAI and Anthropic APIs and runs no language model.

It answers deterministically, streams at a dialled pace, fails on demand and remembers what it was asked, so that a
gateway without a provider key still works and tests can see both ends of a request. README.md beside this file has
the dial table. Run it with `python -m tollgate.services.provider`; it needs only starlette and uvicorn.
"""
