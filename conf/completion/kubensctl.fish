# Completion of kubensctl(1) for fish; installed as /usr/share/fish/vendor_completions.d/kubensctl.fish.

function __kubensctl_services
    systemctl list-unit-files --no-legend --no-pager --type=service --full 2>/dev/null | string replace -r ' .*' ''
end

# The names of namespaces of a kind (MountNamespace or NetworkNamespace) that the configuration declares.
function __kubensctl_namespaces
    test $argv[1] = MountNamespace; and echo kubens
    set -l section
    cat /etc/kubens/*.conf /usr/lib/kubens/*.conf 2>/dev/null | while read -l line
        switch $line
            case '[*]'
                set section $line
            case '*'
                test "$section" = "[$argv[1]]"; and string replace -rf '^\s*Name\s*=\s*' '' -- $line
        end
    end
end

function __kubensctl_networks
    __kubensctl_namespaces NetworkNamespace
    ls /run/netns 2>/dev/null
end

# Whether the words so far are the verb and nothing else but options.
function __kubensctl_is_after
    set -l words (commandline -opc | string match -v -- '-*')
    test "$words[2..-1]" = "$argv"
end

set -l verbs status check plan compile migrate explain wrap env release join leave netns pod selinux
set -l edits wrap env release

complete -c kubensctl -f
complete -c kubensctl -s h -l help -d 'Show help'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -l version -d 'Show the version'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a status -d 'Show each namespace and its services'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a check -d 'Say what is wrong with the configuration'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a plan -d 'Show what the generator writes'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a compile -d 'Write static units'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a selinux -d 'Write the SELinux policy that keeps services in their domains'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a migrate -d 'Take over what other installations do'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a explain -d 'Say where a unit\'s commands come from'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a wrap -d 'Have services started in the namespace'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a env -d 'Have services told of the namespace'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a release -d 'Take services out of their namespace'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a join -d 'Have services run in a network namespace'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a leave -d 'Take services out of a network namespace'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a netns -d 'List, save and enter network namespaces'
complete -c kubensctl -n "not __fish_seen_subcommand_from $verbs" -a pod -d 'List and check pods, and put their trees in place'
complete -c kubensctl -n "__fish_seen_subcommand_from status check" -l json -d 'Write JSON'
complete -c kubensctl -n "__fish_seen_subcommand_from status" -a '(__kubensctl_namespaces MountNamespace; __kubensctl_networks)'
complete -c kubensctl -n "__fish_seen_subcommand_from check" -F
complete -c kubensctl -n "__fish_seen_subcommand_from check plan compile migrate explain join leave $edits" -l root -xa '(__fish_complete_directories)' -d 'Look at the machine below a directory'
complete -c kubensctl -n "__fish_seen_subcommand_from plan" -l diff -d 'Show the differences only'
complete -c kubensctl -n "__fish_seen_subcommand_from plan" -l output -xa '(__fish_complete_directories)' -d 'Write files below a directory'
complete -c kubensctl -n "__fish_seen_subcommand_from compile selinux" -l output -F -d 'Write there'
complete -c kubensctl -n "__fish_seen_subcommand_from compile" -l format -xa 'units ignition butane machineconfig cloud-init daemonset' -d 'What to write'
complete -c kubensctl -n "__fish_seen_subcommand_from compile" -l role -xa 'worker master' -d 'The pool of a machineconfig'
complete -c kubensctl -n "__fish_seen_subcommand_from migrate" -l undo -d 'Put everything back'
complete -c kubensctl -n "__fish_seen_subcommand_from explain $edits" -a '(__kubensctl_services)'
complete -c kubensctl -n "__fish_seen_subcommand_from $edits" -l namespace -xa '(__kubensctl_namespaces MountNamespace)' -d 'The namespace'
complete -c kubensctl -n "__fish_seen_subcommand_from join leave $edits" -l now -d 'Restart what has to be restarted'
complete -c kubensctl -n "__fish_seen_subcommand_from migrate join leave $edits" -l dry-run -d 'Show what would be done'
complete -c kubensctl -n "__kubensctl_is_after join; or __kubensctl_is_after leave" -a '(__kubensctl_networks)'
complete -c kubensctl -n "__fish_seen_subcommand_from join leave; and not __kubensctl_is_after join; and not __kubensctl_is_after leave" -a '(__kubensctl_services)'
complete -c kubensctl -n "__kubensctl_is_after netns" -a list -d 'List the network namespaces'
complete -c kubensctl -n "__kubensctl_is_after netns" -a save -d 'Save the live nftables rules'
complete -c kubensctl -n "__kubensctl_is_after netns" -a exec -d 'Run a command inside'
complete -c kubensctl -n "__kubensctl_is_after netns save; or __kubensctl_is_after netns exec" -a '(__kubensctl_networks)'
complete -c kubensctl -n "__kubensctl_is_after netns exec" -a '(__kubensctl_services)'
complete -c kubensctl -n "__kubensctl_is_after pod" -a list -d 'Show each pod'
complete -c kubensctl -n "__kubensctl_is_after pod" -a check -d 'Say what is wrong with manifests'
complete -c kubensctl -n "__kubensctl_is_after pod" -a prepare -d 'Put the trees of apps in place'
complete -c kubensctl -n "__fish_seen_subcommand_from pod; and __fish_seen_subcommand_from list" -l json -d 'Write JSON'
complete -c kubensctl -n "__fish_seen_subcommand_from pod; and __fish_seen_subcommand_from list prepare" -l root -xa '(__fish_complete_directories)' -d 'Look at the machine below a directory'
complete -c kubensctl -n "__fish_seen_subcommand_from prepare" -l tree -xa '(__fish_complete_directories)' -d 'Copy a directory'
complete -c kubensctl -n "__fish_seen_subcommand_from prepare" -l oci -xa '(__fish_complete_directories)' -d 'Unpack an image layout'
complete -c kubensctl -n "__fish_seen_subcommand_from prepare" -l replace -d 'Replace trees that are there'
complete -c kubensctl -n "__kubensctl_is_after pod prepare" -a '(path basename /etc/kubens/pods/*.json 2>/dev/null | string replace -r "\.json$" "")'
