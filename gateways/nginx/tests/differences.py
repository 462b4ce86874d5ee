"""The end-to-end tests of the filter for Envoy that are not for nginx, each with its reason.

Names are of a file, a test, or one case of it.
"""

ADMIN = "it asks Envoy's admin interface, or changes Envoy's own configuration"
FILTERS = "it puts other filters of Envoy's beside it"
PSEUDO = "nginx's proxy_pass and proxy_set_header say what the pseudo-headers are"
STATUS = "nginx does not send a request again after this status (proxy_next_upstream)"
BUFFERS = "nginx keeps all bodies, and drops the refused answer where its headers end"
DUPLICATE = "nginx itself refuses a second Authorization with 400"
CLOSES = "an old worker closes its idle connections: test_reload.py has nginx's own"

CONNECT = "this nginx has no extended CONNECT"
SOURCES = "nginx has neither metadata nor filter state"
OWN = "it has Envoy's own pieces, and nginx's own tests have nginx's"

DIFFERENCES = {
    "test_bodies.py::test_informational_responses": "nginx takes a 103 of an upstream for its answer",
    "test_bodies.py::test_envoys_own_replies_prove_nothing": OWN,
    "test_chains.py::test_two_in_a_row[wrong-one]": FILTERS,
    "test_chains.py::test_two_in_a_row[right-one]": FILTERS,
    "test_configuration.py::test_bad_configurations_are_refused": OWN,
    "test_configuration.py::test_text_configurations": OWN,
    "test_configuration.py::test_validation_without_starting": ADMIN,
    "test_configuration.py::test_the_yaml_of_the_readme_is_good": ADMIN,
    "test_configuration.py::test_the_yaml_of_the_top_readme_serves": ADMIN,
    "test_cooldowns.py::test_a_new_configuration_forgets_cooldowns": "cooldowns outlive a reload",
    "test_hints.py::test_without_a_hint_they_differ": ADMIN,
    "test_hints.py::test_a_header_makes_them_agree": ADMIN,
    "test_hints.py::test_a_connection_makes_them_agree": ADMIN,
    "test_hostile.py::test_random_cookie_fields": "nginx leaves tabs around fields: test_nginx.py",
    "test_keys.py::test_consumer[metadata]": SOURCES,
    "test_keys.py::test_consumer[filter state]": SOURCES,
    "test_keys.py::test_session_and_tenant_and_hint_sources[metadata]": SOURCES,
    "test_keys.py::test_session_and_tenant_and_hint_sources[filter state]": SOURCES,
    "test_keys.py::test_existing_by_what_a_body_holds": FILTERS,
    "test_keys.py::test_existing_by_presence[filter state]": SOURCES,
    "test_keys.py::test_a_websocket_handshake_creates[http2]": CONNECT,
    "test_keys.py::test_a_refused_handshake_is_the_clients": "nginx can begin a handshake again",
    "test_observe.py::test_observing_changes_nothing": OWN,
    "test_observe.py::test_observing_writes_metadata": OWN,
    "test_recipes.py::test_bodies": FILTERS,
    "test_recipes.py::test_consumers_by_jwt": FILTERS,
    "test_recipes.py::test_hour_long_tokens": OWN,
    "test_recipes.py::test_azure": OWN,
    "test_agentic.py": "its server says nothing of nginx",
    "test_ogx.py": "its server says nothing of nginx",
    "test_browser.py": FILTERS,
    "test_higress.py": FILTERS,
    "test_redirect.py": "nginx follows no redirect of an upstream by itself",
    "test_sealed_requests.py::test_uploads_are_not_held": "that is proxy_request_buffering off: test_nginx.py",
    "test_sealed_requests.py::test_all_bodies_together": "bodies are counted by worker: test_nginx.py",
    "test_sealed_requests.py::test_a_websocket_over_http2": "this nginx has no extended CONNECT",
    "test_sealed.py::test_behind_a_filter_that_holds_bodies": FILTERS,
    **{
        f"test_sealed_requests.py::test_websockets[not taken-{refuse}-{mode}]": "nginx has no such switch"
        for refuse in ("", "refuse")
        for mode in ("off", "open", "seal", "strict")
    },
    "test_telling.py::test_every_metric_by_name": ADMIN,
    "test_telling.py::test_metadata_in_the_access_log": "nginx has one variable: test_nginx.py",
    "test_telling.py::test_what_the_admin_interface_shows": ADMIN,
    "test_telling.py::test_the_default_names_of_metrics": ADMIN,
    "test_tokens.py::test_several_headers": DUPLICATE,
    "test_tokens.py::test_a_header_that_is_removed": DUPLICATE,
    "test_tokens.py::test_a_token_that_chooses_its_cluster": "nginx has chosen the location before",
    "test_tokens.py::test_a_token_that_chooses_its_route": "nginx has chosen the location before",
    "test_tokens.py::test_pseudo_headers": PSEUDO,
    "test_tokens.py::test_which_pseudo_headers": PSEUDO,
    "test_tokens.py::test_authority": PSEUDO,
    "test_updates.py::test_updates_under_load": CLOSES,
    "test_updates.py::test_many_updates_leak_no_descriptor_or_thread": CLOSES,
    "test_hidden.py::test_frames_of_one_byte": "it speaks HTTP/2 to the port of HTTP/1.1",
    "test_hidden.py::test_a_body_over_a_small_limit": ADMIN,
    "test_hidden.py::test_a_request_that_ends_while_it_is_held": ADMIN,
    "test_hidden.py::test_a_mirror_gets_what_the_account_gets": OWN,
    "test_updates.py::test_the_gauges_are_the_newest_configurations": "cooldowns outlive a reload",
    "test_routes.py::test_an_update_of_the_filter_leaves_a_routes_configuration": "nginx reads all configurations again",
    "test_routes.py::test_a_bad_configuration_of_a_route_is_refused[incomplete with tokens]": "it is a gateway's own",
    "test_tokens.py::test_secret_files_are_read_again": "each worker looks by itself: test_nginx.py",
    "test_routes.py::test_the_most_specific_one_counts": "nginx has one kind of location",
    "test_routes.py::test_without_a_configuration_of_the_filter": "counters are by gateway",
    "test_retry.py::test_the_tries_are_counted_across_routes": "nginx chooses no location again",
    "test_retry.py::test_an_answer_larger_than_envoys_buffer": ADMIN,
    "test_retry.py::test_a_status_that_is_not_listed": STATUS,
    "test_retry.py::test_retries_under_load": STATUS,
    "test_retry.py::test_a_body_that_was_not_kept": BUFFERS,
    "test_retry.py::test_a_refused_answer_that_breaks_off": BUFFERS,
    "test_retry.py::test_a_refused_answer_that_never_ends": BUFFERS,
    "test_retry.py::test_envoys_own_replies_are_not_retried": "it has an Envoy's clusters",
    "test_retry.py::test_a_retry_begins_with_the_request_as_it_came": "nginx runs no filter again",
    "test_retry.py::test_an_access_log_line_for_each_try": "nginx has one line for a request",
}
