"""The scripts that Redis runs: one lets a request in or refuses it, one settles it. Each is one step for all counters.

Names in Redis all begin with the tenant's hash tag:

    {tenant}:leases          sorted set of running calls by the end of their lease
    {tenant}:call:ID         the reservations of a running call, as `counter amount ...`; `lapsed`; or `done`
    {tenant}:...:WINDOW      a count of requests or tokens
    {tenant}:...:money:...   a hash: `s` spent, `r` reserved, `t` last comparison with the ledger, `l` last late end
    {tenant}:...:parallel:.. sorted set of running calls by the end of their lease

The rules for one request:
- Requests pass while used + 1 <= limit, tokens while used + estimate <= limit, running requests while used < limit.
- Money passes while spent + reserved < limit, whatever the new reservation is. One request alone is therefore never
  refused for its reservation. If reservations cover the cost, a budget is passed by at most the last call let in. If
  they do not, it is passed by at most the calls that were running.
- A call counts in the windows in which it began, as in the ledger.

A counter of money that is missing is `unknown`: the script takes nothing and names all such counters at once. The
process seeds them from the ledger. Seeding never lowers a counter. After LEDGER_S the script names a counter as `stale`
to one process, which compares it with the ledger. A settlement that comes late, because Redis was away, adds no spend:
the ledger may have it already. The script then names its counters sooner (AGAIN_S).

Leases follow the clock of Redis, because several processes write and compare them. If a process is killed, its leases
end. The next request of the tenant then takes the dead calls' reservations off the money (`lapsed`). The cost of those
calls reaches the counter from the ledger. In a cluster this step touches names that are not in KEYS; they have the same
hash tag.

Money goes through the scripts as text, because a number of Lua is exact only to 2^53. INCRBY and HINCRBY are exact.
Redis refuses a write that needs memory when it is full, unless the script has written before. Letting in begins with
such a write, so it then changes nothing. Settling, renewing and releasing begin with one that needs no memory, so they
still work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tollgate.services.limits.counters import LET_IN, Answer, Call, Real, Take, Used, changes
from tollgate.services.limits.rule import MONEY, PARALLEL

LEASE_S = 30.0
# Money is compared with the ledger this often: the ledger also has what a killed process never settled.
LEDGER_S = 300
# The ledger may lack a late settlement's call for LEDGER_LAG_S: until then its counters are compared every AGAIN_S.
LEDGER_LAG_S, AGAIN_S = 60, 5
# Leases and calls must outlive every counter of money, or the reservation of a dead call would never be released.
_KEEP_CALLS_S = 40 * 86400
# A settlement that is sent again comes within seconds.
_KEEP_DONE_S = 60
_KEEP_LAPSED_S = 86400

# KEYS: leases, call, counters. ARGV: id, lease, then kind, limit, amount and ttl of each counter.
ADMIT = f"""
local leases, record, id, lease = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
if redis.call('EXISTS', record) == 1 then return 0 end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local calls = string.sub(record, 1, -(#id + 1))
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 500)) do
  redis.call('ZREM', leases, dead)
  local held = redis.call('GET', calls .. dead)
  if held and held ~= 'done' then
    for counter, amount in string.gmatch(held, '(%S+) (%d+)') do
      if redis.call('EXISTS', counter) == 1 then redis.call('HINCRBY', counter, 'r', '-' .. amount) end
    end
    redis.call('SET', calls .. dead, 'lapsed', 'EX', {_KEEP_LAPSED_S})
  end
end
local unknown, answer, held = {{-1}}, {{0}}, ''
for i = 3, #KEYS do
  local counter, at = KEYS[i], 4 * i - 9
  local kind, limit = ARGV[at], tonumber(ARGV[at + 1])
  if kind == 'm' then
    local money = redis.call('HMGET', counter, 's', 'r', 't', 'l')
    local age, settled = now - tonumber(money[3] or '0'), now - tonumber(money[4] or '0')
    if not money[1] then
      unknown[#unknown + 1] = i - 3
    elseif tonumber(money[1]) + tonumber(money[2] or '0') >= limit then
      return {{1, i - 3, money[1], money[2] or '0'}}
    elseif age > {LEDGER_S} or age > {AGAIN_S} and settled < age + {LEDGER_LAG_S} then
      answer[#answer + 1] = i - 3
    end
  elseif kind == 'p' then
    local running = redis.call('ZCOUNT', counter, '(' .. now, '+inf')
    if running >= limit then return {{1, i - 3, running, 0}} end
  else
    local used = tonumber(redis.call('GET', counter) or '0')
    if used + math.max(1, tonumber(ARGV[at + 2])) > limit then return {{1, i - 3, used, 0}} end
  end
end
if #unknown > 1 then return unknown end
for i = 3, #KEYS do
  local at = 4 * i - 9
  if ARGV[at] == 'm' then held = held .. KEYS[i] .. ' ' .. ARGV[at + 2] .. ' ' end
end
redis.call('SET', record, held, 'EX', {_KEEP_CALLS_S})
redis.call('ZADD', leases, now + lease, id)
redis.call('EXPIRE', leases, {_KEEP_CALLS_S})
for i = 3, #KEYS do
  local counter, at = KEYS[i], 4 * i - 9
  local kind, amount = ARGV[at], ARGV[at + 2]
  if kind == 'm' then
    redis.call('HINCRBY', counter, 'r', amount)
  elseif kind == 'p' then
    redis.call('ZREMRANGEBYSCORE', counter, '-inf', now)
    redis.call('ZADD', counter, now + lease, id)
    redis.call('EXPIRE', counter, math.ceil(lease) + 60)
  elseif amount ~= '0' and redis.call('INCRBY', counter, amount) == tonumber(amount) then
    redis.call('EXPIRE', counter, ARGV[at + 3])
  end
end
if #answer == 1 then return 0 end
for n = 2, #answer do redis.call('HSET', KEYS[answer[n] + 3], 't', string.format('%d', now)) end
return answer
"""

# KEYS: leases, call, counters. ARGV: id, `late` or nothing, then kind and both changes of each counter.
# A call that is missing was lost with the memory of Redis: its spend is added to what was seeded since. The spend of a
# `late` settlement comes from the ledger: the counter may have been raised to it already.
SETTLE = f"""
local leases, record, id = KEYS[1], KEYS[2], ARGV[1]
local held = redis.call('GET', record)
if held == 'done' then return 0 end
redis.call('ZREM', leases, id)
local live = held and held ~= 'lapsed'
local late = ARGV[2] == 'late'
for i = 3, #KEYS do
  local counter, at = KEYS[i], 3 * i - 6
  local kind, of_live, always = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if kind == 'p' then
    redis.call('ZREM', counter, id)
  elseif redis.call('EXISTS', counter) == 1 then
    if kind == 'm' then
      if live then redis.call('HINCRBY', counter, 'r', of_live) end
      if not late then
        redis.call('HINCRBY', counter, 's', always)
      elseif always ~= '0' then
        redis.call('HDEL', counter, 't')
        redis.call('HSET', counter, 'l', redis.call('TIME')[1])
      end
    elseif held then
      if of_live ~= '0' then redis.call('INCRBY', counter, of_live) end
    elseif not late and always ~= '0' then
      redis.call('INCRBY', counter, always)
    end
  end
end
redis.call('SET', record, 'done', 'EX', {_KEEP_DONE_S})
return 1
"""

# KEYS: slots. ARGV: id.
FREE = """
for _, slots in ipairs(KEYS) do redis.call('ZREM', slots, ARGV[1]) end
return 0
"""

# KEYS: sorted sets. ARGV: lease, then the call of each.
RENEW = f"""
local clock, lease = redis.call('TIME'), tonumber(ARGV[1])
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
for i, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, i == 1 and {_KEEP_CALLS_S} or math.ceil(lease) + 60)
  redis.call('ZADD', key, 'XX', now + lease, ARGV[i + 1])
end
return 0
"""

# KEYS: counters of money. ARGV: amount and ttl of each.
SEED = """
local now = redis.call('TIME')[1]
for i, counter in ipairs(KEYS) do
  local spent, known = ARGV[2 * i - 1], redis.call('HGET', counter, 's')
  if not known or tonumber(known) < tonumber(spent) then redis.call('HSET', counter, 's', spent) end
  redis.call('HSET', counter, 't', now)
  redis.call('EXPIRE', counter, ARGV[2 * i])
end
return 0
"""

# KEYS: counters. ARGV: the kind of each. It changes nothing. The answer has what is used and what is reserved of each.
# A counter of money that nobody has seeded is an empty text.
LOOK = """
local now, answer = redis.call('TIME'), {}
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
for i, counter in ipairs(KEYS) do
  if ARGV[i] == 'm' then
    local money = redis.call('HMGET', counter, 's', 'r')
    answer[2 * i - 1], answer[2 * i] = money[1] or '', money[2] or '0'
  elseif ARGV[i] == 'p' then
    answer[2 * i - 1], answer[2 * i] = redis.call('ZCOUNT', counter, '(' .. now, '+inf'), '0'
  else
    answer[2 * i - 1], answer[2 * i] = redis.call('GET', counter) or '0', '0'
  end
end
return answer
"""

Words = tuple[list[str], list[str]]  # KEYS and ARGV


def admission(call: Call, lease: float) -> Words:
    keys, words = [f"{call.tenant}leases", f"{call.tenant}call:{call.id}"], [call.id, str(lease)]
    for take in call.takes:
        keys.append(take.key)
        words += (_letter(take.rule.kind), str(take.limit), str(take.add), str(take.ttl))
    return keys, words


def settlement(call: Call, real: Real, late: bool) -> Words:
    keys, words = [f"{call.tenant}leases", f"{call.tenant}call:{call.id}"], [call.id, "late" if late else ""]
    for take in call.takes:
        of_live, always = changes(take, real)
        keys.append(take.key)
        words += (_letter(take.rule.kind), str(of_live), str(always))
    return keys, words


def renewal(call: Call, lease: float) -> Words:
    slots = call.slots
    return [f"{call.tenant}leases", *slots], [str(lease), *[call.id] * (len(slots) + 1)]


def seeding(call: Call, spent: Mapping[int, int]) -> Words:
    takes = [(call.takes[index], amount) for index, amount in spent.items()]
    return [take.key for take, _ in takes], [word for take, amount in takes for word in (str(amount), str(take.ttl))]


def looking(takes: Sequence[Take]) -> Words:
    return [take.key for take in takes], [_letter(take.rule.kind) for take in takes]


def seen(reply: Sequence[Any]) -> list[Used | None]:
    """Reads the reply of LOOK."""
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return [None if used == "" else Used(int(used), int(reserved)) for used, reserved in pairs]


def answer(reply: Any) -> Answer:
    """Reads the reply of ADMIT: 0, or a list that begins with 0 (let in), 1 (refused) or -1 (unknown)."""
    if reply == 0:
        return LET_IN
    what, *figures = (int(figure) for figure in reply)
    if what == 1:
        over, used, reserved = figures
        return Answer(over, used, reserved)
    indexes = tuple(figures)
    return Answer(unknown=indexes) if what == -1 else Answer(stale=indexes)


def _letter(kind: str) -> str:
    return "m" if kind == MONEY else "p" if kind == PARALLEL else "n"
