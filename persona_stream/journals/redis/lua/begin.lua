-- Create a run, unless another one holds its idempotency key. Returns {'begun'}, {'known', run} or {'conflict'}.
-- Also restores a run that Redis has lost in whole or in part, with the facts that its process has.
-- KEYS: facts, record, the owner's runs, the idempotency key (or '')
-- ARGV: run, process, fingerprint, joins ('1' or ''), lifetime ms, the oldest run id that an owner keeps, entries...
local FIRST_ENTRY = 7
local run, process, fingerprint, lifetime = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
local claim = KEYS[4]
if claim ~= '' and ARGV[4] == '1' then
  local held = redis.call('HMGET', claim, 'run', 'fingerprint')
  if held[1] and held[1] ~= run and redis.call('EXISTS', key(held[1], 'facts')) == 1 then
    if held[2] ~= fingerprint then return {'conflict'} end
    return {'known', held[1]}
  end
end
local length = redis.call('XLEN', KEYS[1])
if length > 0 then
  write(run, length, arguments_from(FIRST_ENTRY + length), process)
  return {'begun'}
end
if claim ~= '' then
  redis.call('HSET', claim, 'run', run, 'fingerprint', fingerprint)
  redis.call('PEXPIRE', claim, lifetime)
end
redis.call('HSET', KEYS[2], 'process', process, 'claim', claim, 'fingerprint', fingerprint)
write(run, 0, arguments_from(FIRST_ENTRY), process)
redis.call('PEXPIRE', KEYS[1], lifetime)
redis.call('PEXPIRE', KEYS[2], lifetime)
redis.call('ZREMRANGEBYLEX', KEYS[3], '-', '(' .. ARGV[6])
redis.call('ZADD', KEYS[3], 0, run)
redis.call('PEXPIRE', KEYS[3], lifetime)
-- A process that creates a run is alive, also with an expired lease; unregistered, its runs would never be ended.
redis.call('ZADD', PROCESSES, 'NX', now_ms(), process)
redis.call('SADD', runs_of(process), run)
return {'begun'}
