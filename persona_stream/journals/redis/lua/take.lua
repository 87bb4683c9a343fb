-- Take a run that is offered, and write its start, if there is one to write. Returns the number of its facts, or 0 if
-- another worker has it, or if it has ended: a message that is delivered twice starts nothing. A call that is repeated,
-- because its reply was lost, has the same attempt.
-- KEYS: facts, record
-- ARGV: run, worker, attempt, the fact that starts it, or nothing if it has started
local run, worker, attempt = ARGV[1], ARGV[2], ARGV[3]
local length = redis.call('XLEN', KEYS[1])
if redis.call('ZREM', OFFERED, run) == 0 then
  local taken = redis.call('HMGET', KEYS[2], 'process', 'attempt')
  return taken[1] == worker and taken[2] == attempt and length or 0
end
if length == 0 then return 0 end
redis.call('HSET', KEYS[2], 'process', worker, 'attempt', attempt)
redis.call('ZADD', PROCESSES, 'NX', now_ms(), worker)
redis.call('SADD', runs_of(worker), run)
if ARGV[4] == '' then return length end
write(run, length, {ARGV[4]}, worker)
return length + 1
