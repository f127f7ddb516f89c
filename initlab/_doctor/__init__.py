"""The inside of `initlab.doctor`.

Read `vitals` for what is measured (by `passes`, `listener`, `kernel_signs` and
`start_loss`), then `verdicts` for how it is judged (`thresholds`, three modules of
rules, `cures`), then `letter` for how it is told.
"""
