// JSON as files have it: read strictly, with limits on its depth and on the number of its values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fastrnn::c {

// A value of a document; valid as long as the document. A default one stands for a field that is not there.
class Json {
   public:
    enum class Kind : std::uint8_t { missing, null, boolean, number, string, array, object };

    Json() = default;

    Kind kind() const;
    bool exists() const { return kind() != Kind::missing; }
    bool is_null() const { return kind() == Kind::null; }

    // Each fails with FASTRNN_ERROR_FORMAT, and a message that begins with `name`, if the value is another.
    bool as_flag(std::string_view name) const;
    double as_number(std::string_view name) const;
    std::size_t as_size(std::string_view name, std::size_t least = 1) const;  // an integer of at most 2^53
    std::int64_t as_integer(std::string_view name) const;
    std::string_view as_text(std::string_view name) const;  // UTF-8
    const Json& as_array(std::string_view name) const;
    const Json& as_object(std::string_view name) const;

    std::size_t size() const;              // of an array or object
    Json get(std::string_view key) const;  // missing if this is no object or has no such field

    // Calls f(key, value) for each field of an object, f("", value) for each element of an array.
    template <class F>
    void for_each(F&& f) const {
        for (Json at = first(); at.document_; at = at.next()) f(at.key(), at);
    }

   private:
    friend class JsonDocument;
    Json(const class JsonDocument* document, std::uint32_t index) : document_(document), index_(index) {}
    Json first() const;
    Json next() const;
    std::string_view key() const;

    const class JsonDocument* document_ = nullptr;
    std::uint32_t index_ = 0;
};

class JsonDocument {
   public:
    static constexpr int deepest = 64;
    static constexpr std::uint32_t most_values = std::uint32_t(1) << 22;

    // Fails with FASTRNN_ERROR_FORMAT if the text is not JSON; the message begins with `name`.
    JsonDocument(std::string_view text, std::string_view name);
    JsonDocument(const JsonDocument&) = delete;
    JsonDocument& operator=(const JsonDocument&) = delete;

    Json root() const { return {this, 0}; }

   private:
    friend class Json;
    friend class JsonParser;
    // Texts lie in `texts_`; children are linked by `next`, 0 ends a list.
    struct Item {
        Json::Kind kind = Json::Kind::null;
        bool flag = false;  // of a boolean its value; of a number: is it an integer?
        std::uint32_t key = 0, key_size = 0;
        std::uint32_t text = 0, size = 0;  // a text, or the first child and their number
        std::uint32_t next = 0;
        double number = 0;
    };

    std::vector<Item> items_;
    std::string texts_;
};

}  // namespace fastrnn::c
