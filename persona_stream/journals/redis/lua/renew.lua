-- Renew a process's lease, and end the runs of processes whose own has run out: all of it at once, so exactly once.
-- Gives whether the process was known, how many runs were ended, and whether more are waiting.
-- ARGV: process, lease ms, the fact that ends a lost run, retention ms, retention bytes
local MOST = 200
local process, now = ARGV[1], now_ms()
local known = redis.call('ZSCORE', PROCESSES, process) and 1 or 0
redis.call('ZADD', PROCESSES, now + ARGV[2], process)
local ended = 0
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', PROCESSES, '-inf', now, 'LIMIT', 0, 10)) do
  while ended < MOST do
    local run = redis.call('SPOP', runs_of(dead))
    if not run then break end
    local facts = key(run, 'facts')
    local length = redis.call('XLEN', facts)
    if length > 0 then
      local entry = string.format('{"at":%.3f,"fact":%s}', now / 1000, ARGV[3])
      write(run, length, {entry}, process)
      conclude(run, dead, now, ARGV[4], tonumber(ARGV[5]))
    end
    ended = ended + 1
  end
  if ended >= MOST then return {known, ended, 1} end
  redis.call('ZREM', PROCESSES, dead)
end
return {known, ended, 0}
