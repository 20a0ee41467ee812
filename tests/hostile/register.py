"""Which of the 92 hostile rows is met where. `tests/tidy/test_hostile_rows.py` keeps it honest.

A place is a test, `file::name`; or a file of data that names the row by its number.
"""

DATA = "hostile/rows.py"
TOKENS = "hostile/tokens.py"
SOCKETS = "hostile/test_sockets.py"
READS = "hostile/test_reads.py"
KEYS = "hostile/test_keys.py"
FLOODS = "hostile/test_floods.py"
MATRIX = "hostile/test_matrix.py"
TWO = "hostile/test_two_people.py"
FILES = "saleroom/statements/test_routes.py"
BIDS = "saleroom/bids/test_actions.py"
BID_RULES = "saleroom/bids/test_rules.py"
BID_ROUTES = "saleroom/bids/test_routes.py"
OPENINGS = "saleroom/openings/test_actions.py"
INBOX = "marketkit/test_inbox.py"

MET: dict[int, tuple[str, ...]] = {
    **{number: (DATA,) for number in (*range(1, 31), 41, 43, 44, 46, 49, 50, 52, 62, 65, 71)},
    31: (f"{SOCKETS}::test_a_body_without_end_is_refused_at_the_limit",),
    32: (f"{SOCKETS}::test_whoever_falls_silent_loses_the_line",),
    33: (f"{SOCKETS}::test_whoever_falls_silent_loses_the_line",),
    **{number: (SOCKETS,) for number in range(34, 40)},
    40: ("hostile/test_hosts.py::test_a_foreign_host_is_refused",
         "hostile/test_hosts.py::test_nobody_becomes_somebody_by_a_header"),
    42: (f"{SOCKETS}::test_a_tls_hello_is_hung_up_on",),
    45: (f"{READS}::test_45_a_page_that_is_none",),
    47: (f"{READS}::test_47_a_forged_place_in_the_stream",),
    48: (f"{READS}::test_48_a_day_that_is_none",),
    51: ("hostile/test_texts.py::test_51_what_is_said_is_taken_by_its_letters",
         "hostile/test_texts.py::test_51_a_filter_takes_no_wildcard"),
    53: ("saleroom/test_sheets.py::test_a_csv_of_ours_holds_no_formula_and_is_read_again",
         "saleroom/test_sheets.py::test_an_xlsx_of_ours_holds_texts_only"),
    54: ("marketkit/test_logs.py::test_row_54_no_field_breaks_or_colours_a_line",),
    55: (f"{FILES}::test_a_file_that_is_none_changes_nothing",
         f"{FILES}::test_files_that_would_burst_are_refused",
         "marketkit/test_uploads.py::test_no_other_address_takes_files"),
    **{number: (TOKENS,) for number in (57, 58, 59, 60)},
    61: (f"{MATRIX}::test_what_is_another_s_is_as_unknown_as_what_never_was",
         "hostile/test_time.py::test_another_s_takes_as_long_as_none"),
    63: (f"{MATRIX}::test_whoever_may_not_is_refused_alike_and_changes_nothing",
         "marketkit/test_web.py::test_row_63_who_tried_what_they_may_not_is_logged"),
    64: (f"{TWO}::test_no_one_is_both_people",),
    66: (f"{KEYS}::test_a_key_belongs_to_one_request_of_one_person",),
    67: (f"{KEYS}::test_many_at_once_are_one",
         "hostile/test_five_times.py::test_five_at_once_have_one_effect"),
    68: (f"{KEYS}::test_a_stored_answer_outlives_the_process_that_gave_it",),
    70: (f"{BIDS}::test_bid_at_the_close_is_refused_and_one_just_before_is_not",
         f"{FLOODS}::test_70_an_upload_across_the_close_is_late"),
    72: (f"{BID_RULES}::test_a_bid_has_one_size",
         f"{OPENINGS}::test_a_bid_sealed_for_another_place_is_unreadable",
         f"{OPENINGS}::test_a_plaintext_that_is_not_the_one_committed_to_voids_that_bid_only"),
    73: (f"{BID_RULES}::test_a_bid_sealed_to_another_sale_s_key_is_refused",
         f"{OPENINGS}::test_a_bid_that_names_another_key_is_void"),
    74: (f"{BID_RULES}::test_a_bid_has_one_size",
         f"{BID_ROUTES}::test_a_bid_of_a_megabyte_is_too_large"),
    75: (f"{BIDS}::test_nobody_withdraws_from_the_close_on",
         f"{BIDS}::test_a_withdrawn_bid_does_not_stand_and_may_be_followed_by_another",
         f"{BID_RULES}::test_only_the_qualified_bid"),
    76: ("saleroom/results/test_routes.py::test_before_the_opening_a_sale_is_as_unknown_as_none",
         f"{BID_ROUTES}::test_no_metric_and_no_log_line_tells_of_bids"),
    77: (f"{OPENINGS}::test_an_unclosed_sale_is_not_opened",
         f"{OPENINGS}::test_two_officers_never_open",
         f"{OPENINGS}::test_an_officer_gives_one_share_a_session",
         f"{OPENINGS}::test_a_bad_share_that_nobody_makes_up_for_fails_the_session_whatever_is_wrong"),
    82: (f"{INBOX}::test_what_waits_is_retried_when_its_aggregate_is_there",
         f"{INBOX}::test_a_broken_event_is_parked_and_its_aggregates_later_ones_behind_it",
         f"{INBOX}::test_an_event_that_is_no_json_is_parked_too"),
    84: ("energy_trade/pool/test_actions.py::"
         "test_a_refused_version_leaves_no_trace_of_its_batch",
         f"{BIDS}::test_one_bad_bid_in_a_list_of_two_hundred_spoils_none",
         "saleroom/statements/test_actions.py::test_ten_thousand_lines_with_one_bad"),
    85: ("marketkit/test_ledger.py::test_what_is_not_double_entry_is_not_booked",
         "marketkit/test_ledger.py::test_crosswise_transfers_end_without_a_deadlock"),
    86: (f"{TWO}::test_what_was_confirmed_is_not_confirmed_again",
         "saleroom/endings/test_actions.py::test_what_is_opened_or_ended_is_not_cancelled"),
    87: (f"{TWO}::test_of_many_at_once_one_confirms_and_it_happens_once",
         "marketkit/test_ledger.py::test_parallel_takes_of_one_lot_never_exceed_it"),
    88: (f"{FLOODS}::test_88_one_bidder_in_haste_is_put_off_and_nobody_else",
         f"{FLOODS}::test_88_idle_connections_stand_in_nobody_s_way"),
    89: (f"{FLOODS}::test_89_a_line_cut_after_sending_has_its_effect_once",
         f"{FLOODS}::test_89_half_a_request_has_none"),
    90: ("marketkit/test_reader.py::test_row_90_junk_is_thrown_away_and_the_others_flow",
         "marketkit/test_reader.py::"
         "test_a_forged_record_is_counted_not_believed_and_its_place_healed"),
    91: (f"{FLOODS}::test_91_what_is_inside_is_not_outside",
         f"{FLOODS}::test_91_nor_through_the_gateway"),
    92: (f"{FLOODS}::test_92_what_nobody_foresaw_is_a_problem_and_the_line_goes_on",),
}  # fmt: skip

# What there is nothing for yet, and why.
NOT_YET: dict[int, str] = {
    56: "no route takes an address to call back",
    69: "nothing is changed in place: steps are sub-resources, lists and bids name versions",
    78: "counties push no events yet",
    79: "counties push no events yet",
    80: "counties push no events yet",
    81: "counties push no events yet",
    83: "counties push no events yet; an issue dated ahead is EFFECTIVE_IN_FUTURE",
}
