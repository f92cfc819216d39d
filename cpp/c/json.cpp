// A parser of JSON by recursive descent, as RFC 8259 has it, and checked access to what it found.
#include "c/json.hpp"

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstdlib>

#include "c/failure.hpp"
#include "c/utf8.hpp"

namespace fastrnn::c {

class JsonParser {
   public:
    JsonParser(std::string_view text, std::string_view name, JsonDocument& document)
        : text_(text), name_(name), items_(document.items_), texts_(document.texts_) {}

    void parse() {
        skip_space();
        value(0);
        skip_space();
        if (at_ < text_.size()) fail("something after its end");
    }

   private:
    using Item = JsonDocument::Item;

    [[noreturn]] void fail(const char* reason) const {
        fail_format(std::string(name_) + ": not JSON: " + reason + " at byte " + std::to_string(at_));
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool take(char c) {
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    void skip_space() {
        while (at_ < text_.size() &&
               (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
            ++at_;
    }
    void expect(std::string_view word) {
        if (text_.substr(at_, word.size()) != word) fail("an unknown word");
        at_ += word.size();
    }

    // Appends the value that begins here, and returns its index.
    std::uint32_t value(int depth) {
        if (depth > JsonDocument::deepest) fail("nested too deep");
        if (items_.size() >= JsonDocument::most_values) fail("too many values");
        const auto index = std::uint32_t(items_.size());
        items_.emplace_back();
        switch (peek()) {
            case '{':
                object(index, depth);
                break;
            case '[':
                array(index, depth);
                break;
            case '"': {
                const auto [text, size] = string();
                items_[index].kind = Json::Kind::string;
                items_[index].text = text, items_[index].size = size;
                break;
            }
            case 't':
                expect("true");
                items_[index].kind = Json::Kind::boolean, items_[index].flag = true;
                break;
            case 'f':
                expect("false");
                items_[index].kind = Json::Kind::boolean;
                break;
            case 'n':
                expect("null");
                break;
            default:
                number(items_[index]);
        }
        return index;
    }

    void link(std::uint32_t parent, std::uint32_t& last, std::uint32_t child) {
        (last ? items_[last].next : items_[parent].text) = child;
        last = child;
        ++items_[parent].size;
    }

    void array(std::uint32_t index, int depth) {
        items_[index].kind = Json::Kind::array;
        ++at_;
        skip_space();
        if (take(']')) return;
        std::uint32_t last = 0;
        do {
            skip_space();
            link(index, last, value(depth + 1));
            skip_space();
        } while (take(','));
        if (!take(']')) fail("expected , or ]");
    }

    void object(std::uint32_t index, int depth) {
        items_[index].kind = Json::Kind::object;
        ++at_;
        skip_space();
        if (take('}')) return;
        std::uint32_t last = 0;
        do {
            skip_space();
            if (peek() != '"') fail("expected a key");
            const auto [key, size] = string();
            skip_space();
            if (!take(':')) fail("expected :");
            skip_space();
            const std::uint32_t child = value(depth + 1);
            items_[child].key = key, items_[child].key_size = size;
            link(index, last, child);
            skip_space();
        } while (take(','));
        if (!take('}')) fail("expected , or }");
        refuse_equal_keys(index);
    }

    void refuse_equal_keys(std::uint32_t index) const {
        std::vector<std::string_view> keys;
        for (std::uint32_t child = items_[index].text; child; child = items_[child].next)
            keys.push_back(std::string_view(texts_).substr(items_[child].key, items_[child].key_size));
        std::sort(keys.begin(), keys.end());
        const auto twice = std::adjacent_find(keys.begin(), keys.end());
        if (twice != keys.end()) fail_format(std::string(name_) + ": " + printable(*twice) + ": given twice");
    }

    struct Text {
        std::uint32_t text, size;
    };

    Text string() {
        const auto begin = std::uint32_t(texts_.size());
        ++at_;
        while (true) {
            if (at_ >= text_.size()) fail("a string without its end");
            const auto c = static_cast<unsigned char>(text_[at_]);
            if (c == '"') break;
            if (c < 0x20) fail("a control character in a string");
            if (c == '\\') {
                escape();
                continue;
            }
            const std::size_t length = utf8_length(text_.substr(at_));
            if (length == 0) fail("not UTF-8");
            texts_.append(text_.substr(at_, length));
            at_ += length;
        }
        ++at_;
        const Text found{begin, std::uint32_t(texts_.size()) - begin};
        texts_.push_back('\0');  // so that each is also a C string
        return found;
    }

    void escape() {
        ++at_;
        const char kind = peek();
        ++at_;
        constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
        if (const std::size_t plain = from.find(kind); kind != '\0' && plain != from.npos) {
            texts_.push_back(to[plain]);
            return;
        }
        if (kind != 'u') fail("an unknown escape");
        std::uint32_t code = hexadecimal();
        if (code >= 0xD800 && code < 0xDC00) {
            if (!take('\\') || !take('u')) fail("half of a surrogate pair");
            const std::uint32_t low = hexadecimal();
            if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code <= 0xDFFF) {
            fail("half of a surrogate pair");
        }
        append_utf8(code, texts_);
    }

    std::uint32_t hexadecimal() {
        std::uint32_t code = 0;
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = peek();
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) fail("expected four hexadecimal digits");
            code = code * 16 + std::uint32_t(digit);
        }
        return code;
    }

    bool digits() {
        const std::size_t begin = at_;
        while (peek() >= '0' && peek() <= '9') ++at_;
        return at_ > begin;
    }

    void number(Item& item) {
        constexpr std::size_t longest = 64;
        const std::size_t begin = at_;
        item.kind = Json::Kind::number, item.flag = true;
        take('-');
        if (!take('0') && !digits()) fail("expected a value");
        if (take('.')) {
            item.flag = false;
            if (!digits()) fail("expected a digit");
        }
        if (peek() == 'e' || peek() == 'E') {
            item.flag = false;
            ++at_;
            if (!take('+')) take('-');
            if (!digits()) fail("expected a digit");
        }
        if (at_ - begin > longest) fail("a number of too many digits");
        std::string copy(text_.substr(begin, at_ - begin));
        if (const std::size_t point = copy.find('.'); point != copy.npos)
            copy.replace(point, 1, std::localeconv()->decimal_point);  // as strtod wants it
        item.number = std::strtod(copy.c_str(), nullptr);
        if (!std::isfinite(item.number)) fail("a number that is not finite");
    }

    const std::string_view text_, name_;
    std::vector<Item>& items_;
    std::string& texts_;
    std::size_t at_ = 0;
};

JsonDocument::JsonDocument(std::string_view text, std::string_view name) { JsonParser(text, name, *this).parse(); }

namespace {

constexpr double most_exact = 9007199254740992.0;  // 2^53

[[noreturn]] void refuse(std::string_view name, const char* expected, Json::Kind got) {
    constexpr const char* names[] = {"nothing", "null", "a boolean", "a number", "a text", "a list", "an object"};
    fail_format(std::string(name) + ": expected " + expected + ", got " + names[int(got)]);
}

}  // namespace

Json::Kind Json::kind() const { return document_ ? document_->items_[index_].kind : Kind::missing; }

bool Json::as_flag(std::string_view name) const {
    if (kind() != Kind::boolean) refuse(name, "a boolean", kind());
    return document_->items_[index_].flag;
}

double Json::as_number(std::string_view name) const {
    if (kind() != Kind::number) refuse(name, "a number", kind());
    return document_->items_[index_].number;
}

std::int64_t Json::as_integer(std::string_view name) const {
    const double number = as_number(name);
    if (!document_->items_[index_].flag || number < -most_exact || number > most_exact)
        fail_format(std::string(name) + ": expected an integer within 2^53");
    return std::int64_t(number);
}

std::size_t Json::as_size(std::string_view name, std::size_t least) const {
    const std::int64_t number = as_integer(name);
    if (number < std::int64_t(least))
        fail_format(std::string(name) + ": expected " + std::to_string(least) + " or more, got " +
                    std::to_string(number));
    if (std::uint64_t(number) > SIZE_MAX) fail_format(std::string(name) + ": too large");
    return std::size_t(number);
}

std::string_view Json::as_text(std::string_view name) const {
    if (kind() != Kind::string) refuse(name, "a text", kind());
    const auto& item = document_->items_[index_];
    return std::string_view(document_->texts_).substr(item.text, item.size);
}

const Json& Json::as_array(std::string_view name) const {
    if (kind() != Kind::array) refuse(name, "a list", kind());
    return *this;
}

const Json& Json::as_object(std::string_view name) const {
    if (kind() != Kind::object) refuse(name, "an object", kind());
    return *this;
}

std::size_t Json::size() const {
    return kind() == Kind::array || kind() == Kind::object ? document_->items_[index_].size : 0;
}

Json Json::get(std::string_view key) const {
    if (kind() != Kind::object) return {};
    Json child = first();
    while (child.document_ && child.key() != key) child = child.next();
    return child;
}

Json Json::first() const { return size() > 0 ? Json(document_, document_->items_[index_].text) : Json(); }

Json Json::next() const {
    const std::uint32_t next = document_->items_[index_].next;
    return next ? Json(document_, next) : Json();
}

std::string_view Json::key() const {
    const auto& item = document_->items_[index_];
    return std::string_view(document_->texts_).substr(item.key, item.key_size);
}

}  // namespace fastrnn::c
