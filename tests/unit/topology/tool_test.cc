// SPDX-License-Identifier: BSD-3-Clause
// torque-topology, run as a program. It lies beside the tests' folder in the build; TORQUE_TOPOLOGY_TOOL names another.
#include <sys/wait.h>

#include <string>

#include "unit/topology/machine.hh"

#include "support/cmocka.hh"

namespace {

std::string tool;
test::FakeRoot root;

struct Run {
  int status = -1;
  std::string out;
};

Run shell(const std::string &command) {
  Run r;
  FILE *const pipe = popen(command.c_str(), "r");
  if (!pipe) return r;
  char buf[4096];
  for (size_t n; (n = fread(buf, 1, sizeof buf, pipe)) > 0;) r.out.append(buf, n);
  const int status = pclose(pipe);
  r.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return r;
}

// Arguments are shell text. The program's errors are thrown away.
Run run(const std::string &arguments) { return shell("'" + tool + "' " + arguments + " 2>/dev/null"); }

// What run() printed, read and written again by another JSON implementation, without blanks.
Run read_back(const Run &r) {
  root.file("/map.json", r.out);
  return shell("python3 -m json.tool --compact '" + std::string(root.path()) + "/map.json'");
}

bool has(const Run &r, const char *text) { return r.out.find(text) != std::string::npos; }

int find_tool(void **) {
  char self[4096];
  const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n > 0) tool = std::string(self, static_cast<size_t>(n));
  for (int up = 0; up < 3 && tool.rfind('/') != std::string::npos; up++) tool.erase(tool.rfind('/'));
  tool += "/tools/torque-topology";
  if (const char *named = std::getenv("TORQUE_TOPOLOGY_TOOL")) tool = named;
  root.make();
  return root.path()[0] ? 0 : -1;
}
int leave(void **) {
  root.remove();
  return 0;
}

void this_machine_is_explained_in_words(void **) {
  const Run r = run("");
  assert_int_equal(r.status, 0);
  for (const char *text : {"Map: this machine", "affinity", "cpuset", "quota", "Domains", "Caches", "Memory nodes",
                           "Page sizes", "CPUs", "workers"})
    assert_true(has(r, text));
}

void json_is_valid_for_every_kind_of_machine(void **) {
  for (const char *arguments :
       {"", "--workers 3 --sharing thread", "--synthetic 'pack:2 l3:4 core:4 pu:2'", "--synthetic 'pu:1'",
        "--synthetic 'l3:1 core:192 pu:1' --domain-max 8", "--synthetic 'core:4 pu:2' --cpus 1-2,7 --sharing core"}) {
    const Run printed = run(std::string("--json ") + arguments);
    assert_int_equal(printed.status, 0);
    const Run r = read_back(printed);
    assert_int_equal(r.status, 0);
    assert_true(has(r, "\"budget\":{") && has(r, "\"page_sizes\":["));
  }
}

void json_holds_what_the_options_asked_for(void **) {
  const Run r = read_back(run("-j --synthetic 'pack:1 l3:2 core:2 pu:1' -c 1-3"));
  assert_true(has(r, "\"source\":\"synthetic\",\"live\":false,\"detected\":true"));
  assert_true(has(r, "\"usable_cpus\":3,\"workers\":3"));
  assert_true(has(r, "{\"cpu\":null,\"map_cpu\":1,\"domain\":0,\"node\":0}"));
  assert_true(has(r, "\"first_worker\":1,\"workers\":2,\"cpus\":2,\"shares\":\"L3\""));
}

void a_file_that_is_no_map_is_a_failure(void **) {
  root.file("/bad.xml", "<topology>");
  assert_int_equal(run("--xml " + std::string(root.path()) + "/bad.xml").status, 1);
  assert_int_equal(run("--xml " + std::string(root.path()) + "/none.xml").status, 1);
  assert_int_equal(run("--synthetic 'no:machine'").status, 1);
  assert_int_equal(run("--cpus 99999").status, 1);
}

void wrong_arguments_are_usage_errors(void **) {
  for (const char *arguments :
       {"--workers", "--workers x", "--workers -1", "--workers 5000", "--sharing L9", "--cpus ''", "--cpus 1-", "--cpus 3-1",
        "--cpus 1,,2", "--domain-max 0", "--no-such", "argument", "--xml a --synthetic b"}) {
    const Run r = run(arguments);
    assert_int_equal(r.status, 2);
    assert_string_equal(r.out.c_str(), "");
  }
}

void help_and_version_are_answers_not_errors(void **) {
  const Run help = run("--help"), version = run("--version");
  assert_int_equal(help.status, 0);
  assert_true(has(help, "usage: torque-topology"));
  assert_int_equal(version.status, 0);
  assert_int_equal(version.out.find("torque-topology 1."), 0);
}

void output_that_cannot_be_written_is_a_failure(void **) {
  assert_int_equal(run("> /dev/full").status, 1);
  assert_int_equal(run("--json > /dev/full").status, 1);
}

}  // namespace

int main() {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(this_machine_is_explained_in_words),
      cmocka_unit_test(json_is_valid_for_every_kind_of_machine),
      cmocka_unit_test(json_holds_what_the_options_asked_for),
      cmocka_unit_test(a_file_that_is_no_map_is_a_failure),
      cmocka_unit_test(wrong_arguments_are_usage_errors),
      cmocka_unit_test(help_and_version_are_answers_not_errors),
      cmocka_unit_test(output_that_cannot_be_written_is_a_failure),
  };
  find_tool(nullptr);
  const bool there = access(tool.c_str(), X_OK) == 0;
  leave(nullptr);
  if (there) return cmocka_run_group_tests(tests, find_tool, leave);
  std::fprintf(stderr, "%s is not built\n", tool.c_str());
  return 77;
}
