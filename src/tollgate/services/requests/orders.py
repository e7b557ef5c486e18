"""The fields of a body that LiteLLM would obey and that no API has. Each gives a client a 400 that names the field.

LiteLLM reads its own options from a request's body: keys, addresses, prices, retries, timeouts, callbacks, mock
answers. The list comes from the source of LiteLLM 1.108.10 (tests/support/litellm_fields.py).
tests/contract/litellm/test_fields.py compares it with the installed release, so an upgrade cannot add a field
unnoticed. A field that is in neither list is sent to the provider, so a new Claude Code works.
"""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


# The fields of the APIs: Anthropic's Messages; OpenAI's chat, completions and embeddings. They come from the official
# SDKs anthropic 2.11.0 and openai 3.52.0.
OWN = frozenset(
    _words("""
    audio best_of betas billing_policy cache_control compaction container context_management diagnostics dimensions
    echo encoding_format fallback_credit_token frequency_penalty function_call functions inference_geo input
    logit_bias logprobs max_completion_tokens max_tokens mcp_servers messages metadata modalities model moderation n
    output_config output_format parallel_tool_calls prediction presence_penalty prompt prompt_cache_key
    prompt_cache_options prompt_cache_retention reasoning_effort response_format safeguards safety_identifier seed
    service_tier speed stop stop_sequences store stream stream_options suffix system temperature thinking thread
    tool_choice tools top_k top_logprobs top_p user user_profile_id verbosity web_search_options workspace_id
    """)
)

# Prefixes of LiteLLM's own fields.
PREFIXES = tuple(
    _words("""
    _ litellm_ user_api_key input_cost_per_ output_cost_per_ cache_creation_input_ cache_read_input_ langfuse_
    langsmith_ arize_ posthog_ signoz_ newrelic_ dd_ mock_ aws_ azure_ vertex_ watsonx_ gigachat_ s3_ gcs_ milvus_
    valkey_ auto_router_ adaptive_router_ complexity_router_ quality_router_ anthropic_ openai_ token_exchange_
    github_copilot_ regional_ mcp_rate_ mcp_tool_ guardrail
    """)
)

NAMES = frozenset(
    _words("""
    Tags access_token acompletion acreate acreate_batch acreate_fine_tuning_job additional_drop_params adelete
    aembedding agent agent_id aimg_generation alist allm_passthrough_route allow_client_keepalive_override
    allowed_model_region allowed_openai_params amoderation annotation_cost_per_page annotation_cost_per_page_batches
    api_base api_key api_type api_version applied_guardrails applied_policies arerank aresponses aretrieve
    aretrieve_content aspeech assistant_continue_message async_call async_complete_streaming_response atext_completion
    atranscription attempted_targets aupdate azure background base_model base_url batch_completion_cost bedrock_tags
    bos_token bucket_name budget_duration cache cache_control_injection_points cache_hit cache_key caching
    caching_groups call_type callbacks candidate_deployment_id citation_cost_per_token client client_id client_secret
    client_side_timeout combined_usage_object complete_response complete_streaming_response completion_call_id
    completion_start_time config config_file_path configurable_clientside_auth_params container_id
    content_policy_fallbacks context_window_fallback_dict context_window_fallbacks cooldown_time cost_per_query
    cost_per_second credential_info credential_name credential_values current_deployment_id custom_llm_provider
    custom_prompt_dict custom_validate data_residency default_api_key_rpm_limit default_api_key_tpm_limit
    deployment_id deployments disable_add_transform_inline_image_block disable_fallbacks disable_global_guardrail
    disable_global_guardrails drop_params enable_json_schema_validation enable_prompt_caching enable_tag_filtering
    endpoint engine ensure_alternating_roles eos_token exception extra_body extra_headers failure_callback
    fallback_depth fallback_model_group fallbacks fastest_response file_id final_prompt_value
    fireworks_forward_user_id follow_redirects force_timeout generationConfig get_supported_openai_params
    google_maps_grounding_cost_per_query headers hf_model_name humanloop_api_key id include_fallback_errors
    include_guardrail_response include_server_side_tool_invocations incoming_bearer_token inferenceConfig
    initial_prompt_value input_file_id itpm keepalive_seconds kwargs log_client_error_tracebacks logger_fn logging_obj
    max_agentic_loops max_budget max_budget_per_session max_fallbacks max_file_size_mb max_iterations
    max_parallel_requests max_retries mcp_input_schema merge_reasoning_content_in_choices model_alias_map model_config
    model_file_id_mapping model_group_retry_policy model_id model_info model_list models no-log num_retries
    ocr_cost_per_credit ocr_cost_per_page ocr_cost_per_page_batches opted_out_global_guardrails optional_params order
    org_id organization organization_id original_function original_generic_function otpm output_vector_size
    parent_otel_span passthrough passthrough_logging_payload passthrough_on_no_deployment password
    pillar_response_headers policies policy_sources preset_cache_key previous_response_id priority prompt_environment
    prompt_id prompt_info prompt_integration prompt_label prompt_variables prompt_version provider_affinity_header
    provider_config provider_specific_header proxy_server_request query region_name request_id request_timeout
    response_cost response_headers retrieval_config retry_policy retry_strategy roles router_settings
    router_settings_override routing_decision routing_groups routing_strategy routing_strategy_args rpm rust
    sandbox_timeout search_context_cost_per_query search_provider search_tool_name secret_fields self server_name
    service_callback service_logger_obj session session_id shared_session silent_model specific_deployment ssl_verify
    standard_callback_dynamic_params standard_logging_object start_time stream_chunk_size stream_holdback_chars
    stream_response stream_timeout stream_timeout_by_service_tier success_callback supports_system_message
    systemInstruction system_instruction tag_regex tags target_model_names team_id tenant_id text_completion
    tiered_pricing timeout timeout_by_service_tier token toolConfig tool_config tool_description tool_input_schema tpm
    ttl turn_off_message_logging usage use_chat_completions_api use_client use_in_pass_through use_litellm_proxy
    use_xai_oauth user_config user_continue_message user_id username vector_store_id vector_store_ids
    vector_store_request_metadata verbose wandb_api_key weave_project_id weight weights zero_cost_diagnostic
    """)
)

# A field of Anthropic's API that LiteLLM would use for itself. The gateway chooses the fallbacks, so the field has no
# effect here: it is removed, not refused.
TAKEN_OUT = frozenset({"fallbacks"})

# Fields of `metadata` that LiteLLM would use for itself.
METADATA_PREFIXES = (
    "_",
    "litellm_",
    "user_api_",
    "pillar_",
    "guardrail",
    "disable_global_guardrail",
    "autorouter_",
    "adaptive_router_",
    "standard_logging_",
)
METADATA = frozenset(
    _words("""
    alerting_metadata allowed_passthrough_routes allowed_vector_store_indexes applied_guardrails applied_policies
    attempted_fallbacks attempted_retries batch_ignore_default_logging billed_retry_attempt billing_agent_id
    caching_groups client_disconnected cold_storage_object_key compression_savings cost_breakdown deployment
    deployment_model_name error_information global_max_parallel_requests headers inherited_tags internal_call_origin
    langfuse_masking_function llm_api_timing_windows logging mask_input mask_output max_iterations
    mcp_tool_call_metadata metadata model_group model_group_size model_info opted_out_global_guardrails
    original_model_group policy_sources previous_models proxy_server_request quality_router_decision redis_namespace
    request_retry_count requester_metadata routing_decision rpm_limit_type secret_fields secret_manager_settings
    semantic-similarity spend_logs_metadata tag_routing tags tpm_limit_type trace_metadata turn_off_message_logging
    usage_object used_client_oauth_token vector_store_request_metadata
    """)
)


def is_order(name: str) -> bool:
    """Whether a top-level field of a body is LiteLLM's own."""
    return name not in OWN and (name in NAMES or name.startswith(PREFIXES))


def is_metadata_order(name: str) -> bool:
    """The same for a field of `metadata`."""
    return name in METADATA or name.startswith(METADATA_PREFIXES)
