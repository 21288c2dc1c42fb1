-- Let a leased message wait for a permit of a concurrency key whose permits are in another partition.
--
-- KEYS[1] blocked (list)   KEYS[2] hash of keys with blocked messages   KEYS[3] unacked   KEYS[4] unacked_index
-- KEYS[5] leases of its worker
-- ARGV[1] tag   ARGV[2] number of permits   ARGV[3] the key   ARGV[4] list of the message   ARGV[5] payload
-- Returns 1 when it waits, 0 when the lease was lost before.
-- Uses: permits

return use('permits').block(KEYS, ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
