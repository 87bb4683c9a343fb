-- Append facts after the first so many. Returns {'written'}; {'missing'} if Redis has fewer; or {'behind', entries...}
-- with the facts that other processes appended meanwhile.
-- KEYS: facts, record
-- ARGV: run, author, number of facts that the author knows, has ended ('1' or ''), retention ms, retention bytes,
-- entries...
local FIRST_ENTRY = 7
local run, author, known = ARGV[1], ARGV[2], tonumber(ARGV[3])
local length = redis.call('XLEN', KEYS[1])
if length < known or length == 0 then return {'missing'} end
if length > known then
  local reply = {'behind'}
  for _, item in ipairs(redis.call('XRANGE', KEYS[1], '0-' .. (known + 1), '+')) do reply[#reply + 1] = item[2][2] end
  return reply
end
local runner = write(run, length, arguments_from(FIRST_ENTRY), author)
if ARGV[4] == '1' then finish(run, runner, now_ms(), ARGV[5], tonumber(ARGV[6])) end
return {'written'}
