-- Offer a run to the workers. Returns whether the process had it. A call may be repeated, because its reply was lost.
-- KEYS: facts, record
-- ARGV: run, process, ms until it fails unless a worker takes it
local run, process = ARGV[1], ARGV[2]
if redis.call('ZSCORE', OFFERED, run) then return 1 end
if redis.call('HGET', KEYS[2], 'process') ~= process then return 0 end
redis.call('HDEL', KEYS[2], 'process')
redis.call('SREM', runs_of(process), run)
redis.call('ZADD', OFFERED, now_ms() + ARGV[3], run)
return 1
