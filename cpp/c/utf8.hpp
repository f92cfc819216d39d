// UTF-8: checking and writing it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fastrnn::c {

// The code of a character of so many bytes.
inline std::uint32_t utf8_code(std::string_view text, std::size_t length) {
    const auto byte = [&](std::size_t i) { return std::uint32_t(static_cast<unsigned char>(text[i])); };
    std::uint32_t code = length == 1 ? byte(0) : byte(0) & (0xFFu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) code = code << 6 | (byte(i) & 0x3F);
    return code;
}

// Bytes of the character that `text` begins with; 0 if it is not UTF-8 (RFC 3629: shortest forms, no surrogates).
inline std::size_t utf8_length(std::string_view text) {
    if (text.empty()) return 0;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const std::uint32_t code = utf8_code(text, length);
    if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return 0;
    return length;
}

// No control character, no mark of direction, no line separator, nothing private.
inline bool is_visible(std::uint32_t code) {
    struct {
        std::uint32_t first, last;
    } constexpr hidden[] = {{0x00, 0x1F},     {0x7F, 0xA0},     {0xAD, 0xAD},     {0x2000, 0x200F},   {0x2028, 0x206F},
                            {0xE000, 0xF8FF}, {0xFEFF, 0xFEFF}, {0xFFF0, 0xFFFF}, {0xE0000, 0x10FFFF}};
    for (const auto& range : hidden)
        if (code >= range.first && code <= range.last) return false;
    return true;
}

inline void append_utf8(std::uint32_t code, std::string& text) {
    const auto put = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
        put(0xC0 | code >> 6);
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
    }
    put(0x80 | (code & 0x3F));
}

}  // namespace fastrnn::c
