-- Delete a run that has ended. Returns whether it existed.
-- KEYS: facts, record, the owner's runs
-- ARGV: run, retention ms
local run, keep_ms = ARGV[1], ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local bytes = redis.call('HGET', KEYS[2], 'bytes') or '0'
if redis.call('ZREM', ENDED, bytes .. ':' .. run) == 1 then redis.call('DECRBY', KEPT_BYTES, bytes) end
redis.call('ZREM', KEYS[3], run)
evict(run, keep_ms)
return 1
