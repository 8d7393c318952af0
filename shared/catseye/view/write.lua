-- Writes one batch: all of it, or nothing and the reason.
--
-- KEYS: epoch, offsets. ARGV: name of the build; how many partitions, and of each its name, the offset before the batch
-- (empty where there is none) and the one behind it; then the commands, each with its number of words in front. Flat:
-- the MessagePack of this Lua knows no binary strings.
--
-- A batch that was written already, or whose place is not where the read model is, changes nothing: whoever sends it
-- is told to look again where to go on. So it may be sent any number of times, by any number of writers.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'rebuilt'
end
local commands = 3 + 3 * tonumber(ARGV[2])
for at = 3, commands - 1, 3 do
  if (redis.call('HGET', KEYS[2], ARGV[at]) or '') ~= ARGV[at + 1] then
    return 'elsewhere'
  end
end
local at = commands
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  if ARGV[at + 1] == 'cap' then
    local gone = redis.call('ZRANGE', ARGV[at + 2], 0, -tonumber(ARGV[at + 4]) - 1)
    for _, member in ipairs(gone) do
      redis.call('ZREM', ARGV[at + 2], member)
      redis.call('HDEL', ARGV[at + 3], member)
    end
  else
    redis.call(unpack(ARGV, at + 1, last))
  end
  at = last + 1
end
for at = 3, commands - 1, 3 do
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 2])
end
return 'written'
