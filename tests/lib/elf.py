# SPDX-License-Identifier: GPL-2.0
"""An object file of the module's: its sections, its symbols, and the calls that are
yet to be filled in."""

import struct

SHT_SYMTAB, SHT_RELA, SHF_EXECINSTR = 2, 4, 4
STT_FUNC = 2
CALL = 0xE8


class Object:
    """As much of an ELF file as that takes; 64 bits, little end first."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        start, count, names = struct.unpack_from("<Q", self.data, 40)[0], *struct.unpack_from(
            "<HH", self.data, 60
        )
        self.sections = [
            struct.unpack_from("<IIQQQQIIQQ", self.data, start + 64 * number)
            for number in range(count)
        ]
        self.names = self.sections[names][4]

    def text(self, place):
        return self.data[place : self.data.index(b"\0", place)].decode()

    def name(self, section):
        return self.text(self.names + section[0])

    def symbols(self):
        """(name, type, section, value, size) of each."""
        table = next(each for each in self.sections if each[1] == SHT_SYMTAB)
        strings = self.sections[table[6]][4]
        for place in range(table[4], table[4] + table[5], 24):
            name, info, _, section, value, size = struct.unpack_from("<IBBHQQ", self.data, place)
            yield self.text(strings + name), info & 15, section, value, size

    def calls(self):
        """(section number, offset, symbol number) of each call that is filled in."""
        for each in self.sections:
            target = self.sections[each[7]] if each[1] == SHT_RELA else None
            if not target or not target[2] & SHF_EXECINSTR:
                continue
            for place in range(each[4], each[4] + each[5], 24):
                offset, info, _ = struct.unpack_from("<QQq", self.data, place)
                if self.data[target[4] + offset - 1] == CALL:
                    yield each[7], offset, info >> 32

    def calls_to(self, callee):
        """(section name, offset) of each call of a function by that name."""
        symbols = [name for name, *_ in self.symbols()]
        for section, offset, number in self.calls():
            if symbols[number] == callee:
                yield self.name(self.sections[section]), offset
