-- SPDX-License-Identifier: GPL-2.0
--
-- Wireshark dissector for Netveil, version 1 (kmod/PROTOCOL.md): what is in clear,
-- and how long the rest is. There is no way to decrypt: keys do not leave the
-- kernel. Put it into the folder that Help > About > Folders calls "Personal Lua
-- Plugins", or:
--
--	tshark -X lua_script:netveil.lua -r FILE
--
-- Another listen port: Preferences > Protocols > NETVEIL, or -o netveil.port:N.

local netveil = Proto("netveil", "Netveil")
local PORT = 51888
-- Data may come from the ports after the sender's listen port, one a lane.
local TAG, DATA_HEADER, TRANSPORT_TRAILER = 16, 16, 2

netveil.prefs.port = Pref.uint("UDP port", PORT, "Listen port of the hosts")

local types = {
	[1] = "initiation", [2] = "response", [3] = "cookie reply", [4] = "data",
}
local lengths = { [1] = 208, [2] = 128, [3] = 72 }

local field = netveil.fields
field.type = ProtoField.uint8("netveil.type", "Type", base.DEC, types)
field.version = ProtoField.uint8("netveil.version", "Version")
field.sender = ProtoField.uint32("netveil.sender", "Sender index", base.HEX)
field.receiver = ProtoField.uint32("netveil.receiver", "Receiver index", base.HEX)
field.time = ProtoField.absolute_time("netveil.time", "Time", base.UTC)
field.stamp = ProtoField.bytes("netveil.stamp", "Stamp")
field.ephemeral = ProtoField.bytes("netveil.ephemeral", "Ephemeral public key")
field.static = ProtoField.bytes("netveil.static", "Static public key, sealed")
field.offer = ProtoField.bytes("netveil.offer", "Offer, sealed")
field.choice = ProtoField.bytes("netveil.choice", "Choice, sealed")
field.psk = ProtoField.uint8("netveil.psk_choice", "Psk choice")
field.mac1 = ProtoField.bytes("netveil.mac1", "mac1")
field.mac2 = ProtoField.bytes("netveil.mac2", "mac2")
field.salt = ProtoField.bytes("netveil.salt", "Salt")
field.cookie = ProtoField.bytes("netveil.cookie", "Cookie, sealed")
field.flags = ProtoField.uint8("netveil.flags", "Flags", base.HEX)
field.tunnel = ProtoField.bool("netveil.flags.tunnel", "Tunnel mode", 8, nil, 0x01)
field.partial = ProtoField.bool("netveil.flags.csum_partial", "Partial checksum", 8, nil, 0x02)
field.close = ProtoField.bool("netveil.flags.close", "Close", 8, nil, 0x04)
field.challenge = ProtoField.bool("netveil.flags.challenge", "Challenge", 8, nil, 0x08)
field.echo = ProtoField.bool("netveil.flags.echo", "Echo", 8, nil, 0x10)
field.lane = ProtoField.uint16("netveil.lane", "Lane")
field.counter = ProtoField.uint64("netveil.counter", "Counter")
field.ciphertext = ProtoField.bytes("netveil.ciphertext", "Ciphertext")
field.tag = ProtoField.bytes("netveil.tag", "Tag")
field.inner = ProtoField.uint32("netveil.inner_length", "Length of the plaintext, at most")

local malformed = ProtoExpert.new("netveil.malformed", "Not a Netveil message",
	expert.group.MALFORMED, expert.severity.ERROR)
netveil.experts = { malformed }

-- TAI64N: 2^62 + 10 and seconds since 1970; nanoseconds.
local function put_time(tree, range)
	local seconds = range(0, 8):uint64() - UInt64(10, 0x40000000)
	tree:add(field.time, range, NSTime.new(seconds:tonumber(), range(8, 4):uint()))
end

local function initiation(buffer, tree)
	tree:add(field.version, buffer(1, 1))
	tree:add(field.sender, buffer(4, 4))
	put_time(tree, buffer(8, 12))
	tree:add(field.stamp, buffer(20, 8))
	tree:add(field.ephemeral, buffer(28, 32))
	tree:add(field.static, buffer(60, 48))
	tree:add(field.offer, buffer(108, 68))
	tree:add(field.mac1, buffer(176, 16))
	tree:add(field.mac2, buffer(192, 16))
	return string.format(", sender 0x%08x", buffer(4, 4):uint())
end

local function response(buffer, tree)
	tree:add(field.version, buffer(1, 1))
	tree:add(field.psk, buffer(2, 1))
	tree:add(field.receiver, buffer(4, 4))
	tree:add(field.ephemeral, buffer(8, 32))
	tree:add(field.choice, buffer(40, 56))
	tree:add(field.mac1, buffer(96, 16))
	tree:add(field.stamp, buffer(112, 8))
	return string.format(", receiver 0x%08x", buffer(4, 4):uint())
end

local function cookie_reply(buffer, tree)
	tree:add(field.receiver, buffer(4, 4))
	tree:add(field.salt, buffer(8, 32))
	tree:add(field.cookie, buffer(40, 32))
	return string.format(", receiver 0x%08x", buffer(4, 4):uint())
end

-- What is left for the packet inside, of which padding may take a part.
local function inner_length(sealed, flags)
	if bit.band(flags, 1) ~= 0 or sealed == 0 then
		return sealed
	end
	return math.max(sealed - TRANSPORT_TRAILER, 0)
end

local function data(buffer, tree)
	local flags, sealed = buffer(1, 1):uint(), buffer:len() - DATA_HEADER - TAG
	local bits = tree:add(field.flags, buffer(1, 1))
	bits:add(field.tunnel, buffer(1, 1))
	bits:add(field.partial, buffer(1, 1))
	bits:add(field.close, buffer(1, 1))
	bits:add(field.challenge, buffer(1, 1))
	bits:add(field.echo, buffer(1, 1))
	tree:add(field.lane, buffer(2, 2))
	tree:add(field.receiver, buffer(4, 4))
	tree:add(field.counter, buffer(8, 8))
	if sealed > 0 then
		tree:add(field.ciphertext, buffer(DATA_HEADER, sealed))
	end
	tree:add(field.tag, buffer(DATA_HEADER + sealed, TAG))
	tree:add(field.inner, buffer(DATA_HEADER, sealed), inner_length(sealed, flags)):set_generated()
	return string.format(", receiver 0x%08x, lane %d, counter %s, %d bytes sealed",
		buffer(4, 4):uint(), buffer(2, 2):uint(), tostring(buffer(8, 8):uint64()), sealed)
end

local parts = { initiation, response, cookie_reply, data }

local function is_message(buffer)
	if buffer:len() < 4 then
		return false
	end
	local kind = buffer(0, 1):uint()
	if kind == 4 then
		return buffer:len() >= DATA_HEADER + TAG
	end
	return lengths[kind] == buffer:len()
end

function netveil.dissector(buffer, pinfo, root)
	pinfo.cols.protocol = "Netveil"
	local tree = root:add(netveil, buffer())
	if not is_message(buffer) then
		tree:add_proto_expert_info(malformed)
		pinfo.cols.info = "Not a Netveil message"
		return buffer:len()
	end
	local kind = buffer(0, 1):uint()
	tree:add(field.type, buffer(0, 1))
	local more = parts[kind](buffer, tree)
	local name = types[kind]
	if kind == 4 and buffer:len() == DATA_HEADER + TAG then
		name = bit.band(buffer(1, 1):uint(), 4) ~= 0 and "close" or "keepalive"
	elseif kind == 4 and bit.band(buffer(1, 1):uint(), 0x18) ~= 0 then
		name = bit.band(buffer(1, 1):uint(), 8) ~= 0 and "challenge" or "echo"
	end
	tree:append_text(", " .. name .. more)
	pinfo.cols.info = name .. more
	return buffer:len()
end

local ports = DissectorTable.get("udp.port")
local port = PORT
ports:add(port, netveil)

function netveil.prefs_changed()
	if netveil.prefs.port ~= port then
		ports:remove(port, netveil)
		port = netveil.prefs.port
		ports:add(port, netveil)
	end
end
