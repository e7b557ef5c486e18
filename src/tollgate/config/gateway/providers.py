"""The providers that a target may name, and their requirements. The names are LiteLLM's prefixes, except `embedded`.

Facts: LiteLLM 1.108.10, its provider list and llms/anthropic/pass_through/messages/handler.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from tollgate.config.validate import closest, did_you_mean
from tollgate.errors import Mistake

EMBEDDED = "embedded"
# The service account in secrets/vertex_credentials.json, which is too long for a line of .env.
VERTEX_CREDENTIALS = "VERTEX_CREDENTIALS"


@dataclass(frozen=True)
class Provider:
    """`credentials` are the variables that must be set for it; with none it needs an `api_base` of its own.

    `base` is where it answers, given only where LiteLLM must be told (see `native_messages`). `needs` are the fields
    of a target that say where at the provider the model is.
    """

    name: str
    credentials: tuple[str, ...] = ()
    base: str = ""
    needs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The variable that LiteLLM gets as `api_key`; "" if the provider takes none, or LiteLLM signs requests."""
        return next((name for name in self.credentials if name.endswith("_API_KEY")), "")

    @property
    def needs_base(self) -> bool:
        return "api_base" in self.needs or (not self.credentials and self.name != EMBEDDED)

    @property
    def signs(self) -> bool:
        """AWS and Google: requests are signed and carry no key, so a key cannot go to a wrong address."""
        return bool(self.credentials) and not self.key


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(EMBEDDED),
        Provider("anthropic", ("ANTHROPIC_API_KEY",)),
        Provider("openai", ("OPENAI_API_KEY",)),
        Provider("openrouter", ("OPENROUTER_API_KEY",), "https://openrouter.ai/api/v1"),
        Provider("azure", ("AZURE_API_KEY",), needs=("api_base", "api_version")),
        Provider("azure_ai", ("AZURE_AI_API_KEY",), needs=("api_base",)),
        Provider("bedrock", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), needs=("region",)),
        Provider("vertex_ai", (VERTEX_CREDENTIALS,), needs=("project", "region")),
        Provider("gemini", ("GEMINI_API_KEY",)),
        Provider("groq", ("GROQ_API_KEY",)),
        Provider("mistral", ("MISTRAL_API_KEY",)),
        Provider("deepseek", ("DEEPSEEK_API_KEY",)),
        Provider("xai", ("XAI_API_KEY",)),
        Provider("fireworks_ai", ("FIREWORKS_API_KEY",)),
        Provider("together_ai", ("TOGETHERAI_API_KEY",)),
        Provider("cerebras", ("CEREBRAS_API_KEY",)),
        Provider("moonshot", ("MOONSHOT_API_KEY",)),
        Provider("hosted_vllm"),
        Provider("llamafile"),
        Provider("lm_studio"),
        Provider("ollama_chat"),
        Provider("custom_openai"),
    )
}
# Common names with the right one: `ollama` uses the older completion route, `google` is not LiteLLM's name.
_INSTEAD = {
    "ollama": "ollama_chat",
    "google": "gemini",
    "vllm": "hosted_vllm",
    "claude": "anthropic",
    "aws": "bedrock",
    "vertex": "vertex_ai",
    "custom": "custom_openai",
    "custom_provider": "custom_openai",
}


def _model_path(value: str) -> str:
    provider, slash, model = value.partition("/")
    if not slash or not model or not value.isascii() or " " in value:
        raise Mistake(f"expected provider/model, found {value[:60]!r}", "as in anthropic/claude-sonnet-5-5")
    if provider not in PROVIDERS:
        own = "for your own server with OpenAI's protocol write custom_openai/<model> with an api_base"
        meant = _INSTEAD.get(provider) or closest(provider, PROVIDERS)
        hint = f"did you mean {meant}?" if meant else f"{did_you_mean(provider, PROVIDERS)}; {own}"
        raise Mistake(f"unknown provider {provider!r}", hint)
    return value


ModelPath = Annotated[str, AfterValidator(_model_path)]
