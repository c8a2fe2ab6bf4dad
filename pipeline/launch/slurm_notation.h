// Slurm's short forms for lists of machines and of numbers of tasks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::pipeline::launch {

// The first machine of a node list: "gpu[017-020,031],login1" gives "gpu017", "r[1-2]n[3-4]"
// "r1n3". Nothing for a text that is no list.
std::optional<std::string> FirstHost(std::string_view list);

// The number of tasks on machine `node`, counted from 0, of "2(x3),1": 2, 2, 2, 1. Nothing for a
// text of another form or when there is no such machine.
std::optional<std::uint32_t> TasksOnNode(std::string_view tasks, std::uint32_t node);

}  // namespace millrace::pipeline::launch
