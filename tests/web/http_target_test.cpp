// SPDX-License-Identifier: Apache-2.0
#include "web/http_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace boardbus::web {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(SplitTarget, TakesTheFormsOfRfc9112Section3_2) {
    const auto expect = [](std::string_view target, std::string_view path, std::string_view query) {
        EXPECT_EQ(split_target(target).path, path) << target;
        EXPECT_EQ(split_target(target).query, query) << target;
    };
    expect("/", "/", "");
    expect("/a/b?c=d?e", "/a/b", "c=d?e");
    expect("/a?", "/a", "");
    expect("*", "*", "");
    expect("http://host:80/a?b", "/a", "b");
    expect("http://host", "/", "");
    expect("http://host?b=/c", "/", "b=/c");
    expect("/a?url=http://host/b", "/a", "url=http://host/b");
    expect("/a://b/c", "/a://b/c", "");
}

TEST(PathSegments, KeepsWhatIsEncodedAndWhatIsEmpty) {
    EXPECT_THAT(path_segments("/ws/boards/a%2Fb"), ElementsAre("ws", "boards", "a%2Fb"));
    EXPECT_THAT(path_segments("/"), ElementsAre(""));
    EXPECT_THAT(path_segments("/a//b/"), ElementsAre("a", "", "b", ""));
    EXPECT_THAT(path_segments("*"), IsEmpty());
    EXPECT_THAT(path_segments(""), IsEmpty());
}

}  // namespace
}  // namespace boardbus::web
