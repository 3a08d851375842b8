// SPDX-License-Identifier: BSD-3-Clause
#include "topology/budget.hh"

#include <sched.h>

#include <string>

#include "unit/topology/machine.hh"

#include "support/cmocka.hh"

using namespace torque;

namespace {

const Alloc alloc;
test::FakeRoot root;

int make_root(void **) {
  root = {};
  root.make();
  return root.path()[0] ? 0 : -1;
}
int remove_root(void **) {
  root.remove();
  return 0;
}

const char *const v2_mount = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
const char *const v1_mounts =
    "31 1 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 1 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";

// "0-3/1500": CPUs of the cpuset (- for none) and quota (- for none).
std::string limits() {
  CpuSet cpuset(alloc);
  CgroupLimits found;
  const torque_err err = read_cgroups(root.path(), alloc, &cpuset, &found);
  if (err) return "error " + std::to_string(err);
  std::vector<uint32_t> cpus;
  for (uint32_t cpu = 0; cpu < cpuset.bound(); cpu++)
    if (cpuset.has(cpu)) cpus.push_back(cpu);
  return (found.has_cpuset ? test::list_of(cpus) : "-") + "/" +
         (found.quota_milli ? std::to_string(found.quota_milli) : "-");
}

#define assert_limits(text) assert_string_equal(limits().c_str(), text)

void no_files_limit_nothing(void **) { assert_limits("-/-"); }

void version_2_quota_and_cpuset(void **) {
  root.file("/proc/self/cgroup", "0::/app\n");
  root.file("/proc/self/mountinfo", v2_mount);
  root.file("/sys/fs/cgroup/app/cpu.max", "150000 100000\n");
  root.file("/sys/fs/cgroup/app/cpuset.cpus.effective", "1-2,5\n");
  assert_limits("1-2,5/1500");
}

void max_is_no_quota(void **) {
  root.file("/proc/self/cgroup", "0::/app\n");
  root.file("/proc/self/mountinfo", v2_mount);
  root.file("/sys/fs/cgroup/app/cpu.max", "max 100000\n");
  assert_limits("-/-");
}

void the_tightest_quota_on_the_way_up_counts(void **) {
  root.file("/proc/self/cgroup", "0::/a/b/c\n");
  root.file("/proc/self/mountinfo", v2_mount);
  root.file("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
  root.file("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  root.file("/sys/fs/cgroup/a/cpu.max", "100000 50000\n");
  assert_limits("-/2000");
  root.file("/sys/fs/cgroup/cpu.max", "5000 100000\n");
  assert_limits("-/50");
}

void a_cpuset_missing_in_the_group_is_its_parents(void **) {
  root.file("/proc/self/cgroup", "0::/a/b\n");
  root.file("/proc/self/mountinfo", v2_mount);
  root.file("/sys/fs/cgroup/a/b/cpuset.cpus.effective", "\n");
  root.file("/sys/fs/cgroup/cpuset.cpus.effective", "0-7\n");
  assert_limits("0-7/-");
}

void version_1_quota_and_cpuset(void **) {
  root.file("/proc/self/cgroup", "5:cpuset:/jobs/7\n4:cpu,cpuacct:/jobs\n1:name=systemd:/x\n0::/\n");
  root.file("/proc/self/mountinfo", v1_mounts);
  root.file("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "250000\n");
  root.file("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us", "100000\n");
  root.file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  root.file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  root.file("/sys/fs/cgroup/cpuset/jobs/7/cpuset.cpus", "3\n");
  assert_limits("3/2500");
}

void effective_cpus_of_version_1_win_over_configured_ones(void **) {
  root.file("/proc/self/cgroup", "5:cpuset:/a\n");
  root.file("/proc/self/mountinfo", v1_mounts);
  root.file("/sys/fs/cgroup/cpuset/a/cpuset.cpus", "0-7\n");
  root.file("/sys/fs/cgroup/cpuset/a/cpuset.effective_cpus", "0-3\n");
  assert_limits("0-3/-");
}

void a_hybrid_hierarchy_takes_what_either_version_says(void **) {
  root.file("/proc/self/cgroup", "5:cpuset:/a\n4:cpu,cpuacct:/a\n0::/u\n");
  root.file("/proc/self/mountinfo",
            std::string(v1_mounts) + "33 1 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  root.file("/sys/fs/cgroup/cpuset/a/cpuset.cpus", "4-5\n");
  root.file("/sys/fs/cgroup/unified/u/cpu.max", "300000 100000\n");
  root.file("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "200000\n");
  root.file("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  assert_limits("4-5/2000");
}

void a_container_sees_its_group_as_the_mounts_root(void **) {
  root.file("/proc/self/cgroup", "0::/docker/f00/inner\n");
  root.file("/proc/self/mountinfo", "30 1 0:26 /docker/f00 /sys/fs/cgroup ro master:5 - cgroup2 cgroup rw\n");
  root.file("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  root.file("/sys/fs/cgroup/inner/cpu.max", "100000 100000\n");
  assert_limits("-/1000");
}

void a_group_outside_the_mount_leaves_the_mounts_own_limits(void **) {
  root.file("/proc/self/mountinfo", "30 1 0:26 /docker/f00 /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  root.file("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  root.file("/sys/fs/cpu.max", "100000 100000\n");
  for (const char *path : {"0::/docker/f00d\n", "0::/..\n", "0::/../other\n", "0::/\n"}) {
    root.file("/proc/self/cgroup", path);
    assert_limits("-/2000");
  }
}

void a_mount_point_with_blanks_is_found(void **) {
  root.file("/proc/self/cgroup", "0::/app\n");
  root.file("/proc/self/mountinfo", "30 1 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
  root.file("/my groups/app/cpu.max", "50000 100000\n");
  assert_limits("-/500");
}

void lines_longer_than_any_buffer_are_passed_over(void **) {
  const std::string lower(20000, 'x');
  root.file("/proc/self/cgroup", "9:" + lower + ":/\n0::/app\n");
  root.file("/proc/self/mountinfo", "29 1 0:9 / / rw - overlay overlay rw,lowerdir=" + lower + "\n" + v2_mount);
  root.file("/sys/fs/cgroup/app/cpu.max", "150000 100000\n");
  assert_limits("-/1500");
}

void a_last_line_without_newline_counts(void **) {
  root.file("/proc/self/cgroup", "0::/app");
  root.file("/proc/self/mountinfo", std::string(v2_mount, std::strlen(v2_mount) - 1));
  root.file("/sys/fs/cgroup/app/cpu.max", "150000 100000");
  assert_limits("-/1500");
}

void malformed_values_limit_nothing(void **) {
  root.file("/proc/self/cgroup", "0::/app\n");
  root.file("/proc/self/mountinfo", v2_mount);
  for (const char *text : {"", "\n", "x", "100000", "100000 0", "100000 -5", "-100000 100000", "100000 x", "0 100000",
                           "99999999999999999999999 100000", "18446744073709551 1", "2000000 1"}) {
    root.file("/sys/fs/cgroup/app/cpu.max", text);
    assert_limits("-/-");
  }
  for (const char *text : {"", "0-", "-3", "3-1", "1,,2", "0-99999999999", "1 2", "all"}) {
    root.file("/sys/fs/cgroup/app/cpuset.cpus.effective", text);
    assert_limits("-/-");
  }
}

void malformed_tables_limit_nothing(void **) {
  root.file("/sys/fs/cgroup/app/cpu.max", "150000 100000\n");
  for (const char *text : {"", "\n", "0", "0:", "0::", "0::app\n", ":::::\n"}) {
    root.file("/proc/self/cgroup", text);
    root.file("/proc/self/mountinfo", v2_mount);
    assert_limits("-/-");
  }
  root.file("/proc/self/cgroup", "0::/app\n");
  for (const char *text : {"", "30 - cgroup2\n", " - cgroup2 cgroup2 rw\n", "30 1 0:26 / - cgroup2 cgroup2 rw\n",
                           "30 1 0:26 / /sys/fs/cgroup rw - cgroup2\n", "30 1 0:26 / /sys/fs/cgroup rw cgroup2 cgroup\n"}) {
    root.file("/proc/self/mountinfo", text);
    assert_limits("-/-");
  }
}

void a_path_too_long_to_open_limits_nothing(void **) {
  root.file("/proc/self/cgroup", "0::/" + std::string(4200, 'a') + "\n");
  root.file("/proc/self/mountinfo", v2_mount);
  root.file("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  assert_limits("-/-");
}

void a_cpuset_may_have_thousands_of_cpus(void **) {
  root.file("/proc/self/cgroup", "0::/app\n");
  root.file("/proc/self/mountinfo", v2_mount);
  root.file("/sys/fs/cgroup/app/cpuset.cpus.effective", "0-2047,4096\n");
  assert_limits("0-2047,4096/-");
}

void the_affinity_mask_is_the_calling_threads(void **) {
  cpu_set_t before;
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  int last = CPU_SETSIZE - 1;
  while (!CPU_ISSET(last, &before)) last--;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  CpuSet all(alloc), narrow(alloc);
  const torque_err first = read_affinity(alloc, &all);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  const torque_err second = read_affinity(alloc, &narrow);
  assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
  assert_int_equal(first, 0);
  assert_int_equal(second, 0);
  assert_int_equal(all.count(), CPU_COUNT(&before));
  assert_int_equal(narrow.count(), 1);
  assert_true(narrow.has(static_cast<uint32_t>(last)));
}

}  // namespace

#define fixture_test(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main() {
  const struct CMUnitTest tests[] = {
      fixture_test(no_files_limit_nothing),
      fixture_test(version_2_quota_and_cpuset),
      fixture_test(max_is_no_quota),
      fixture_test(the_tightest_quota_on_the_way_up_counts),
      fixture_test(a_cpuset_missing_in_the_group_is_its_parents),
      fixture_test(version_1_quota_and_cpuset),
      fixture_test(effective_cpus_of_version_1_win_over_configured_ones),
      fixture_test(a_hybrid_hierarchy_takes_what_either_version_says),
      fixture_test(a_container_sees_its_group_as_the_mounts_root),
      fixture_test(a_group_outside_the_mount_leaves_the_mounts_own_limits),
      fixture_test(a_mount_point_with_blanks_is_found),
      fixture_test(lines_longer_than_any_buffer_are_passed_over),
      fixture_test(a_last_line_without_newline_counts),
      fixture_test(malformed_values_limit_nothing),
      fixture_test(malformed_tables_limit_nothing),
      fixture_test(a_path_too_long_to_open_limits_nothing),
      fixture_test(a_cpuset_may_have_thousands_of_cpus),
      cmocka_unit_test(the_affinity_mask_is_the_calling_threads),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
