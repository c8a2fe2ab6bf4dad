#include "pipeline/launch/equivalent.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/shell.h"
#include "base/suggest.h"

namespace millrace::pipeline::launch {
namespace {

constexpr std::string_view kPort = "29500";

// A YAML list in its flow form, which is JSON's.
std::string YamlList(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) {
    // $(NAME) in an argument would be replaced by Kubernetes.
    std::string literal;
    for (const char letter : word) literal += letter == '$' ? "$$" : std::string(1, letter);
    quoted.push_back(
        nlohmann::json(literal).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return fmt::format("[{}]", fmt::join(quoted, ", "));
}

// What is started in each process.
std::vector<std::string> Command(const LaunchOptions& options) {
  if (options.arguments.front() == "train") return ResumeArguments(options.arguments);
  return options.arguments;
}

// The `millrace launch` that gives this text.
std::string OwnCommand(std::string_view kind, const LaunchOptions& options) {
  std::string text = fmt::format("millrace launch -n {}", options.processes);
  if (options.nodes > 1) text += fmt::format(" --nodes {}", options.nodes);
  if (options.restarts > 0) text += fmt::format(" --restarts {}", options.restarts);
  return fmt::format("{} --print {} -- {}", text, kind, ShellWords(options.arguments));
}

// A name for the job, of letters, digits and dashes as Kubernetes wants them: the recipe's.
std::string JobName(const LaunchOptions& options) {
  std::string name;
  for (const std::string& word : options.arguments) {
    if (!word.ends_with(".toml")) continue;
    for (const char letter : std::filesystem::path(word).stem().string()) {
      const bool good = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
      const bool upper = letter >= 'A' && letter <= 'Z';
      name += good ? letter : upper ? static_cast<char>(letter - 'A' + 'a') : '-';
    }
    break;
  }
  constexpr std::size_t kLongest = 50;  // of 63, for what is appended to it
  name.resize(std::min(name.size(), kLongest));
  name.erase(0, std::min(name.find_first_not_of('-'), name.size()));
  while (name.ends_with('-')) name.pop_back();
  const bool letter_first = !name.empty() && name.front() >= 'a' && name.front() <= 'z';
  return letter_first ? name : name.empty() ? "millrace" : "m-" + name;
}

void RefuseRestarts(std::string_view kind, const LaunchOptions& options, std::string_view instead) {
  if (options.restarts > 0) FailUsage("--print {}: takes no --restarts; {}", kind, instead);
}

std::string Torchrun(const LaunchOptions& options) {
  std::string text = fmt::format("#!/bin/sh\n# {}\n#\n", OwnCommand("torchrun", options));
  std::string meeting = "--standalone";
  if (options.nodes > 1) {
    text += fmt::format(
        "# Run it on each of {0} machines, with the same values in all of them:\n"
        "#   HEAD=node0 RUN=first sh FILE\n"
        "# HEAD is one of the machines, RUN a name of this run.\n",
        options.nodes);
    meeting = fmt::format(
        "--nnodes {} --rdzv-backend c10d \\\n"
        "  --rdzv-endpoint \"${{HEAD:?the machine where all meet}}:{}\" \\\n"
        "  --rdzv-id \"${{RUN:?a name of this run}}\"",
        options.nodes, kPort);
  } else {
    text += "# Run it on the machine that trains.\n";
  }
  text +=
      "# torchrun comes with PyTorch's wheel; millrace must be in the PATH. One Ctrl-C or SIGTERM\n"
      "# ends the run with a checkpoint, from which the same command goes on.\n";
  const std::string restarts =
      options.restarts > 0 ? fmt::format(" --max-restarts {}", options.restarts) : "";
  return text +
         fmt::format("exec torchrun {} \\\n  --nproc-per-node {}{} --no-python \\\n  millrace {}\n",
                     meeting, options.processes, restarts, ShellWords(Command(options)));
}

std::string Slurm(const LaunchOptions& options) {
  RefuseRestarts("slurm", options, "#SBATCH --requeue is in the script, for nodes that fail");
  return fmt::format(
      "#!/bin/bash\n"
      "# {}\n"
      "#\n"
      "# Submit it with `sbatch FILE`, and again to go on. Adapt GPUs, cores and time.\n"
      "# Processes on one machine meet in a file there, those of several at the first one's port.\n"
      "#SBATCH --job-name={}\n"
      "#SBATCH --nodes={}\n"
      "#SBATCH --ntasks-per-node={}\n"
      "#SBATCH --gpus-per-node={}\n"
      "#SBATCH --cpus-per-task=8\n"
      "#SBATCH --time=24:00:00\n"
      "# Two minutes before the time is over the run writes a checkpoint and ends (exit code 3).\n"
      "#SBATCH --signal=TERM@120\n"
      "#SBATCH --requeue\n"
      "#SBATCH --open-mode=append\n"
      "# One process that fails ends all; srun takes --cpus-per-task from the script only so.\n"
      "exec srun --kill-on-bad-exit=1 --cpus-per-task=\"$SLURM_CPUS_PER_TASK\" \\\n"
      "  millrace {}\n",
      OwnCommand("slurm", options), JobName(options), options.nodes, options.processes,
      options.processes, ShellWords(Command(options)));
}

std::string Mpirun(const LaunchOptions& options) {
  RefuseRestarts("mpirun", options, "start the same command again");
  std::string text = fmt::format("#!/bin/sh\n# {}\n#\n", OwnCommand("mpirun", options));
  std::string where;
  if (options.nodes > 1) {
    text +=
        "# Run it on one machine, with the file that names all of them and the one of process 0:\n"
        "#   HOSTS=hosts.txt MASTER_ADDR=node0 sh FILE\n";
    where = fmt::format(
        " --hostfile \"${{HOSTS:?a file with a machine in each line}}\" \\\n"
        "  -N {} -x MASTER_ADDR -x MASTER_PORT={}",
        options.processes, kPort);
  } else {
    text += "# Run it on the machine that trains.\n";
  }
  text +=
      "# For Open MPI, which gives each process one core without --bind-to none. After Ctrl-C or\n"
      "# SIGTERM it waits as long as the timeout says [s], in which the run writes a checkpoint; "
      "the\n"
      "# same command goes on from it.\n";
  return text + fmt::format(
                    "exec mpirun -n {}{} --bind-to none \\\n"
                    "  --mca odls_base_sigkill_timeout 30 millrace {}\n",
                    options.processes * options.nodes, where, ShellWords(Command(options)));
}

// The command of a pod that has `options.processes` of the run's processes.
std::vector<std::string> PodCommand(const LaunchOptions& options) {
  if (options.processes == 1) return Command(options);
  std::vector<std::string> words = {"launch", "-n", std::to_string(options.processes)};
  if (options.restarts > 0) {
    words.insert(words.end(), {"--restarts", std::to_string(options.restarts)});
  }
  words.emplace_back("--");
  const std::vector<std::string> command = Command(options);
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

// What the containers of both kinds of jobs have in common, at an indentation.
std::string Container(std::string_view name, const LaunchOptions& options,
                      std::string_view environment, std::size_t indentation) {
  const std::string lines = fmt::format(
      "- name: {}\n"
      "  image: registry.example.org/millrace:latest\n"
      "  command: [\"millrace\"]\n"
      "  args: {}\n"
      "{}"
      "  resources:\n"
      "    limits:\n"
      "      nvidia.com/gpu: {}\n"
      "  volumeMounts:\n"
      "    - {{name: work, mountPath: /work}}\n"
      "    - {{name: shared-memory, mountPath: /dev/shm}}\n",
      name, YamlList(PodCommand(options)), environment,
      options.processes == 1 ? 8 : options.processes);
  std::string indented;
  for (std::size_t begin = 0; begin < lines.size();) {
    const std::size_t end = lines.find('\n', begin) + 1;
    indented += std::string(indentation, ' ') + lines.substr(begin, end - begin);
    begin = end;
  }
  return indented;
}

constexpr std::string_view kManifestComment =
    "# Adapt the image, which must have millrace in its PATH, the GPUs, and the volume with the\n"
    "# dataset and the runs. A pod that is evicted has two minutes for a checkpoint.\n";

constexpr std::string_view kVolumes =
    "- {name: work, persistentVolumeClaim: {claimName: millrace}}\n"
    "- {name: shared-memory, emptyDir: {medium: Memory}}\n";

std::string Volumes(std::size_t indentation) {
  std::string text;
  for (std::size_t begin = 0; begin < kVolumes.size();) {
    const std::size_t end = kVolumes.find('\n', begin) + 1;
    text += std::string(indentation, ' ') + std::string(kVolumes.substr(begin, end - begin));
    begin = end;
  }
  return text;
}

std::string Kubernetes(const LaunchOptions& options) {
  if (options.nodes > 1 && options.processes > 1) {
    FailUsage(
        "--print kubernetes: one process drives all GPUs of its pod; give -n 1 with --nodes {}",
        options.nodes);
  }
  const std::string name = JobName(options);
  std::string text =
      fmt::format("# {}\n#\n{}", OwnCommand("kubernetes", options), kManifestComment);
  std::string environment;
  std::string subdomain;
  if (options.nodes > 1) {
    text += fmt::format(
        "# The service gives the pods names by which they find the first one.\n"
        "apiVersion: v1\n"
        "kind: Service\n"
        "metadata:\n"
        "  name: {0}\n"
        "spec:\n"
        "  clusterIP: None\n"
        "  publishNotReadyAddresses: true\n"
        "  selector:\n"
        "    job-name: {0}\n"
        "---\n",
        name);
    environment = fmt::format(
        "  env:\n"
        "    - {{name: WORLD_SIZE, value: \"{0}\"}}\n"
        "    - {{name: MASTER_ADDR, value: {1}-0.{1}}}\n"
        "    - {{name: MASTER_PORT, value: \"{2}\"}}\n",
        options.nodes, name, kPort);
    subdomain = fmt::format("      subdomain: {}\n", name);
  }
  return text +
         fmt::format(
             "apiVersion: batch/v1\n"
             "kind: Job\n"
             "metadata:\n"
             "  name: {0}\n"
             "spec:\n"
             "  completionMode: Indexed\n"
             "  completions: {1}\n"
             "  parallelism: {1}\n"
             "  backoffLimit: {2}\n"
             "  podFailurePolicy:\n"
             "    rules:\n"
             "      # The command line or the recipe is wrong: another try would end alike.\n"
             "      - action: FailJob\n"
             "        onExitCodes: {{containerName: millrace, operator: In, values: [2]}}\n"
             "      # Interrupted, with a checkpoint.\n"
             "      - action: Ignore\n"
             "        onExitCodes: {{containerName: millrace, operator: In, values: [3]}}\n"
             "  template:\n"
             "    spec:\n"
             "{3}"
             "      restartPolicy: Never\n"
             "      terminationGracePeriodSeconds: 120\n"
             "      containers:\n"
             "{4}"
             "      volumes:\n"
             "{5}",
             // When one pod fails, so do those that it leaves alone.
             name, options.nodes, 3 * options.nodes, subdomain,
             Container("millrace", options, environment, 8), Volumes(8));
}

std::string PyTorchJob(const LaunchOptions& options) {
  RefuseRestarts("pytorchjob", options, "backoffLimit is in the manifest");
  if (options.processes > 1) {
    FailUsage("--print pytorchjob: one process drives all GPUs of its pod; give -n 1");
  }
  // The operator gives all pods MASTER_ADDR, MASTER_PORT, WORLD_SIZE and RANK by itself.
  const auto replica = [&](std::string_view kind, std::uint32_t replicas) {
    return fmt::format(
        "    {}:\n"
        "      replicas: {}\n"
        "      restartPolicy: OnFailure\n"
        "      template:\n"
        "        spec:\n"
        "          terminationGracePeriodSeconds: 120\n"
        "          containers:\n"
        "{}"
        "          volumes:\n"
        "{}",
        kind, replicas, Container("pytorch", options, "", 12), Volumes(12));
  };
  std::string text = fmt::format(
      "# {}\n"
      "#\n"
      "# For Kubeflow's training operator, which tells each pod its number and where the master "
      "is.\n"
      "{}"
      "apiVersion: kubeflow.org/v1\n"
      "kind: PyTorchJob\n"
      "metadata:\n"
      "  name: {}\n"
      "spec:\n"
      "  nprocPerNode: \"1\"\n"
      "  runPolicy: {{backoffLimit: 10}}\n"
      "  pytorchReplicaSpecs:\n"
      "{}",
      OwnCommand("pytorchjob", options), kManifestComment, JobName(options), replica("Master", 1));
  if (options.nodes > 1) text += replica("Worker", options.nodes - 1);
  return text;
}

struct Kind {
  std::string_view name;
  std::string (*text)(const LaunchOptions& options);
};
constexpr Kind kKinds[] = {{"torchrun", Torchrun},
                           {"slurm", Slurm},
                           {"mpirun", Mpirun},
                           {"kubernetes", Kubernetes},
                           {"pytorchjob", PyTorchJob}};

}  // namespace

std::vector<std::string> EquivalentKinds() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

std::string EquivalentText(std::string_view kind, const LaunchOptions& options) {
  for (const Kind& known : kKinds) {
    if (known.name == kind) return known.text(options);
  }
  FailUsage("--print {}: there are {}{}", kind, fmt::join(EquivalentKinds(), ", "),
            Suggest(kind, EquivalentKinds()));
}

}  // namespace millrace::pipeline::launch
