# Completion of kubensctl(1) for fish; installed as /usr/share/fish/vendor_completions.d/kubensctl.fish.

function __kubensctl_services
    systemctl list-unit-files --no-legend --no-pager --type=service --full 2>/dev/null | string replace -r ' .*' ''
end

function __kubensctl_namespaces
    echo kubens
    cat /etc/kubens/*.conf /usr/lib/kubens/*.conf 2>/dev/null | string replace -rf '^\s*Name\s*=\s*' ''
end

set -l verbs status check plan compile explain wrap env release
set -l edits wrap env release

complete -c kubensctl -f
complete -c kubensctl -s h -l help -d 'Show help'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -l version -d 'Show the version'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a status -d 'Show each namespace and its services'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a check -d 'Say what is wrong with the configuration'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a plan -d 'Show what the generator writes'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a compile -d 'Write static units'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a explain -d 'Say where a unit\'s commands come from'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a wrap -d 'Have services started in the namespace'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a env -d 'Have services told of the namespace'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a release -d 'Take services out of their namespace'
complete -c kubensctl -n "__fish_seen_subcommand_from status check" -l json -d 'Write JSON'
complete -c kubensctl -n "__fish_seen_subcommand_from status" -a '(__kubensctl_namespaces)'
complete -c kubensctl -n "__fish_seen_subcommand_from check" -F
complete -c kubensctl -n "__fish_seen_subcommand_from check plan compile explain $edits" -l root -xa '(__fish_complete_directories)' -d 'Look at the machine below a directory'
complete -c kubensctl -n "__fish_seen_subcommand_from plan" -l diff -d 'Show the differences only'
complete -c kubensctl -n "__fish_seen_subcommand_from plan" -l output -xa '(__fish_complete_directories)' -d 'Write files below a directory'
complete -c kubensctl -n "__fish_seen_subcommand_from compile" -l output -F -d 'Write there'
complete -c kubensctl -n "__fish_seen_subcommand_from compile" -l format -xa 'units ignition butane machineconfig cloud-init' -d 'What to write'
complete -c kubensctl -n "__fish_seen_subcommand_from compile" -l role -xa 'worker master' -d 'The pool of a machineconfig'
complete -c kubensctl -n "__fish_seen_subcommand_from explain $edits" -a '(__kubensctl_services)'
complete -c kubensctl -n "__fish_seen_subcommand_from $edits" -l namespace -xa '(__kubensctl_namespaces)' -d 'The namespace'
complete -c kubensctl -n "__fish_seen_subcommand_from $edits" -l now -d 'Restart what has to be restarted'
complete -c kubensctl -n "__fish_seen_subcommand_from $edits" -l dry-run -d 'Show what would be done'
