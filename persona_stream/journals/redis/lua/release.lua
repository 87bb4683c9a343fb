-- Release the claim on a question, if the run holds it.
-- KEYS: question
-- ARGV: run
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
