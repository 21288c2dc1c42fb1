-- List a workflow's run under another state.
--
-- KEYS[1] hash of the run   ARGV[1] the state   ARGV[2] the state that it must be listed under
-- Returns 1.
-- Uses: runs

use('runs').set_run_state(KEYS[1], ARGV[1], ARGV[2])
return 1
