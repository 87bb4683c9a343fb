-- Return a lease, if the process has no unfinished runs.
-- ARGV: process
if redis.call('SCARD', runs_of(ARGV[1])) == 0 then
  redis.call('ZREM', PROCESSES, ARGV[1])
  redis.call('ZREM', SUSPECTS, ARGV[1])
  redis.call('HDEL', WORKERS, ARGV[1])
end
return 1
