-- Choose frames that one person is asked about, and lease them to him: one call, so that nobody else gets them meanwhile.
--
-- KEYS: labelled, answered_by, second_opinions, skipped, suspected, looked_again; see catseye/view/keys.py.
-- ARGV[1]: JSON: person, drawers (an array of name, prefix of the ranking, prefix of the facts, frames wanted), most,
--   again, least_ms (older frames are past retention, as a string), cameras (names that he may see; left out: all),
--   first (where in the cameras of the evidence drawer the search begins), leases (prefixes for a first and for a second
--   opinion), lease_s, at_once and looks (frames of a drawer that are looked at in one step, and steps, at most).
-- Returns {frame, drawer, facts as JSON, 1 for a second opinion else 0} of each frame.
local labelled, answered_by, second_opinions, skipped, suspected, looked_again = unpack(KEYS)
local ask = cjson.decode(ARGV[1])
local offered, taken = {}, {}
local is_his

if ask.cameras then
  is_his = {}
  for _, camera in ipairs(ask.cameras) do is_his[camera] = true end
end

local function may_see(camera) return not is_his or is_his[camera] == true end

-- Whether he has the lease from now on.
local function leased(frame, is_second, again)
  local key = ask.leases[is_second and 2 or 1] .. frame
  local holder = redis.call('GET', key)
  if holder and not (again and holder == ask.person) then return false end
  redis.call('SET', key, ask.person, 'EX', ask.lease_s)
  return true
end

-- Offer *frame* where it may be; returns whether it is done with, so that nobody looks at it again.
local function looked_at(frame, drawer, facts, label, by, second, again)
  local is_second = by and not second and facts and cjson.decode(facts).twice
  if not facts or ((label or by) and not is_second) then return true end
  if not taken[frame] and by ~= ask.person and may_see(string.match(frame, '^(.*)/[^/]*/[^/]*$'))
    and not redis.call('ZSCORE', skipped, ask.person .. '\n' .. frame) and leased(frame, is_second, again) then
    taken[frame] = true
    offered[#offered + 1] = {frame, drawer, facts, is_second and 1 or 0}
  end
  return false
end

-- Offer frames of one ranking, the newest first, until *most* are offered in all.
local function walk(drawer, ranking, drawn, most, again)
  local at, at_once = 0, math.min(2 * (most - #offered) + 10, ask.at_once)
  for _ = 1, ask.looks do
    if #offered >= most then return end
    local frames = redis.call('ZRANGE', ranking, '+inf', ask.least_ms, 'BYSCORE', 'REV', 'LIMIT', at, at_once)
    if #frames == 0 then return end
    local facts = redis.call('HMGET', drawn, unpack(frames))
    local labels, by, seconds
    if drawer == 'suspect' then -- all of them have labels and were answered: what counts is who looked again
      labels, by, seconds = redis.call('ZMSCORE', looked_again, unpack(frames)), {}, {}
    else
      labels = redis.call('ZMSCORE', labelled, unpack(frames))
      by = redis.call('HMGET', answered_by, unpack(frames))
      seconds = redis.call('ZMSCORE', second_opinions, unpack(frames))
    end
    local gone = {}
    for i, frame in ipairs(frames) do
      if #offered >= most then break end
      if looked_at(frame, drawer, facts[i], labels[i], by[i], seconds[i], again) then gone[#gone + 1] = frame end
    end
    at = at + #frames - #gone
    if #gone > 0 then
      redis.call('ZREM', ranking, unpack(gone))
      redis.call('HDEL', drawn, unpack(gone))
    end
  end
end

local function from(name, rankings, drawn, most, again)
  if #offered >= most then return end
  if name ~= 'evidence' then return walk(name, rankings, drawn, most, again) end
  local cameras = redis.call('ZRANGE', suspected, 1, '+inf', 'BYSCORE')
  for i = 1, #cameras do
    local camera = cameras[(ask.first + i) % #cameras + 1]
    if may_see(camera) then walk(name, rankings .. camera, drawn .. camera, most, again) end
  end
end

for _, drawer in ipairs(ask.drawers) do
  local name, rankings, drawn, wanted = unpack(drawer)
  from(name, rankings, drawn, #offered + wanted, ask.again)
end
for _, drawer in ipairs(ask.drawers) do -- what one drawer lacks, others have
  local name, rankings, drawn = unpack(drawer)
  from(name, rankings, drawn, ask.most, false)
end
return offered
