"""The differences between the filter for proxy-wasm and the dynamic module, by test.

With TOKENPIN_FILTER=wasm each of these tests must fail. A test that passes must leave the list. All
other tests hold for both filters.
"""

NO_RETRY = "retries are the router's: a WebAssembly filter cannot begin a request again. `retry` is refused"
NO_REDIRECT = "a WebAssembly filter is not told that a redirect begins a request again, and decides it as a new one"
NO_FILES = "a WebAssembly VM reads no files. `file` and `state_file` are refused"
NO_UPGRADE = "a WebSocket that the listener does not take never reaches the filter, and stays Envoy's own 403"
NO_ROUTES = "a route's configuration stands in the filter's own, under the route's name"
ALWAYS_CLEARS = "Envoy chooses the route again whenever a WebAssembly filter has changed a request's headers"
NO_REWRITE = "of a request without a body, the host a route rewrites is not seen: the token has to set `:authority`"
OTHER_NAMES = "metrics stand under `wasmcustom` and the plugin's name"
FEWER_METRICS = "what cannot happen is not counted: retries, and all that is read from files"
OTHER_README = "it is the module's README. The README of the filter for proxy-wasm has its own tests"

DIFFERENT = {}


def differences(reason, file, *tests):
    for test in tests:
        DIFFERENT[f"{file}::{test}"] = reason


def reason_for(item):
    """The reason why a test is on the list, with its parameters or without; None if it is not."""
    name = f"{item.path.name}::{item.name}"
    return DIFFERENT.get(name) or DIFFERENT.get(name.partition("[")[0])


differences(
    NO_RETRY,
    "test_retry.py",
    "test_a_first_request_moves_on",
    "test_what_may_move",
    "test_a_retry_strands_no_state",
    "test_how_often",
    "test_the_tries_are_counted_across_routes",
    "test_an_answer_larger_than_envoys_buffer",
    "test_no_other_token",
    "test_a_status_that_is_not_listed",
    "test_a_body_that_was_not_kept",
    "test_bodies_arrive_whole_or_are_not_sent_again",
    "test_nothing_of_the_refused_answer_reaches_the_client",
    "test_a_refused_answer_that_breaks_off",
    "test_a_refused_answer_that_never_ends",
    "test_envoys_own_replies_are_not_retried",
    "test_a_retry_begins_with_the_request_as_it_came",
    "test_an_access_log_line_for_each_try",
    "test_a_carrier_on_a_retry",
    "test_an_update_between_the_tries",
    "test_retries_under_load",
)
differences(
    NO_RETRY,
    "test_cooldowns.py",
    "test_a_429_each_without_retry_after[anonymous-retrying]",
    "test_a_429_each_without_retry_after[without a cookie-retrying]",
    "test_a_429_each_without_retry_after[stateless-retrying]",
)
differences(NO_RETRY, "test_keys.py", "test_a_refused_handshake_is_the_clients")
differences(
    NO_RETRY,
    "test_sealed_retries.py",
    "test_what_a_named_client_creates_moves_without_a_cookie",
    "test_a_sealed_request_never_moves",
    "test_a_second_try_knows_what_the_first_one_opened",
    "test_an_answer_that_was_held_is_sealed",
)
differences(NO_RETRY, "test_tokens.py", "test_pseudo_headers")
differences(
    NO_RETRY,
    "test_redirect.py",
    "test_a_filter_behind_tries_again",
    "test_a_retry_behind_a_target_without_ids",
)
differences(
    NO_REDIRECT,
    "test_redirect.py",
    "test_the_account_of_an_id_serves_both_times",
    "test_a_session_keeps_its_cookie",
    "test_two_redirects_and_a_get",
    "test_a_whole_url_behind_a_target_without_ids",
    "test_only_a_redirect_leaves_its_state",
    "test_a_route_of_another_configuration_gets_no_secret",
    "test_two_filters_in_a_row",
    "test_a_token_with_its_own_authority",
    "test_a_filter_in_front_puts_another_credential_each_time",
    "test_a_redirect_to_a_file[metadata]",
)
differences(
    NO_FILES,
    "test_state_file.py",
    "test_states_apply_without_a_restart",
    "test_what_the_file_leaves_out_is_as_configured",
    "test_a_config_map",
    "test_a_bad_file_is_refused_whole",
    "test_a_token_that_the_configuration_does_not_have",
    "test_a_file_that_disappears_changes_nothing",
    "test_a_file_of_a_route",
    "test_changes_under_load",
    "test_a_change_of_the_entry_ends_a_cooldown",
)
differences(
    NO_FILES,
    "test_tokens.py",
    "test_secret_files_are_read_again",
    "test_a_credential_from_a_file",
    "test_keys_from_files",
)
differences(NO_FILES, "test_recipes.py", "test_azure")
differences(NO_FILES, "test_updates.py", "test_many_updates_leak_no_descriptor_or_thread")
differences(NO_FILES, "test_telling.py", "test_the_live_fingerprint_follows_cooldowns_and_the_state_file")
differences(
    NO_UPGRADE,
    "test_sealed_requests.py",
    "test_websockets[not taken--seal]",
    "test_websockets[not taken--strict]",
    "test_websockets[not taken-refuse-open]",
    "test_websockets[not taken-refuse-seal]",
    "test_websockets[not taken-refuse-strict]",
)
differences(
    NO_ROUTES,
    "test_routes.py",
    "test_the_most_specific_one_counts",
    "test_a_bad_configuration_of_a_route_is_refused",
)
differences(ALWAYS_CLEARS, "test_tokens.py", "test_a_token_that_chooses_its_route")
differences(NO_REWRITE, "test_sealed_responses.py", "test_urls_lead_to_the_gateway")
differences(OTHER_NAMES, "test_telling.py", "test_the_default_names_of_metrics")
differences(FEWER_METRICS, "test_telling.py", "test_every_metric_by_name")
differences(
    OTHER_README,
    "test_configuration.py",
    "test_the_yaml_of_the_readme_is_good",
    "test_the_json_of_the_readme_is_good",
    "test_the_readme_knows_every_field",
)

# Rows of the table of bad configurations, in test_configuration.py, that do not hold.
IS_GOOD = {"placement_key": {"value": "6b1f0c5d2e9a48b7a3d4c5e6f7081920"}}  # hosts may have no environment
REFUSED_ALWAYS = {"retry"}  # so nothing in it is looked at
