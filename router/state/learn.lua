-- Adds what one replica has learned, and returns what all replicas have learned, if it is news to this one.
-- KEYS: facts ("model\ntask" -> n, score, answers, output_tokens as MessagePack), version.
-- ARGV: most evidence to remember, version that the replica knows, s to keep keys, what it learned (MessagePack), 1 to add
--       it only to an empty memory.
-- Returns: version, and all facts if the version is another one.
local memory = tonumber(ARGV[1])
local learned = cmsgpack.unpack(ARGV[4])

-- As Learner._fade in router/score/feedback.py: old evidence fades once there is more than the memory holds.
local function add(size, sum, more, more_sum)
  if size + more > memory then
    local kept = math.max(0, memory - more) / size
    size, sum = size * kept, sum * kept
  end
  return size + more, sum + more_sum
end

if ARGV[5] ~= '1' or redis.call('EXISTS', KEYS[1]) == 0 then
  for name, more in pairs(learned) do
    local known = redis.call('HGET', KEYS[1], name)
    known = known and cmsgpack.unpack(known) or { 0, 0, 0, 0 }
    local n, score = add(known[1], known[2], more[1], more[2])
    local answers, tokens = add(known[3], known[4], more[3], more[4])
    redis.call('HSET', KEYS[1], name, cmsgpack.pack({ n, score, answers, tokens }))
    redis.call('INCR', KEYS[2])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
local version = redis.call('GET', KEYS[2]) or '0'
return { version, version ~= ARGV[2] and redis.call('HGETALL', KEYS[1]) or {} }
