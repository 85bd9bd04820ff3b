# shellcheck shell=bash
# Completion of kubensctl(1) for bash; installed as /usr/share/bash-completion/completions/kubensctl.

_kubensctl_services() {
    systemctl list-unit-files --no-legend --no-pager --type=service --full 2>/dev/null | while read -r unit _; do
        echo "$unit"
    done
}

# The names of namespaces of a kind (MountNamespace or NetworkNamespace) that the configuration declares.
_kubensctl_namespaces() {
    sed -n "/^[[:blank:]]*\[/h;/^[[:blank:]]*Name[[:blank:]]*=/{x;/\[$1\]/{x;s/^[^=]*=[[:blank:]]*//p;x};x}" \
        /etc/kubens/*.conf /usr/lib/kubens/*.conf 2>/dev/null
    [[ $1 == NetworkNamespace ]] || echo kubens
}

_kubensctl_networks() {
    _kubensctl_namespaces NetworkNamespace
    ls /run/netns 2>/dev/null
}

_kubensctl_pods() {
    local path
    for path in /etc/kubens/pods/*.json; do
        path=${path##*/}
        echo "${path%.json}"
    done
}

_kubensctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb='' options='' words='' i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case $verb,${COMP_WORDS[i]} in
            ,-*) ;;
            ,* | netns,* | pod,*) verb+=${verb:+ }${COMP_WORDS[i]} ;;
            *) break ;;
        esac
    done
    case $before in
        --root | --output | --tree | --oci)
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            return
            ;;
        --format)
            mapfile -t COMPREPLY < <(compgen -W 'units ignition butane machineconfig cloud-init daemonset' -- "$word")
            return
            ;;
        --namespace)
            mapfile -t COMPREPLY < <(compgen -W "$(_kubensctl_namespaces MountNamespace)" -- "$word")
            return
            ;;
    esac
    case $verb in
        '')
            options='--version'
            words='status check plan compile migrate explain wrap env release join leave netns pod selinux'
            ;;
        status)
            options='--json'
            [[ $word == -* ]] || words="$(_kubensctl_namespaces MountNamespace) $(_kubensctl_networks)"
            ;;
        check)
            options='--root --json'
            [[ $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
            ;;
        plan)
            options='--root --diff --output'
            ;;
        migrate)
            options='--root --dry-run --undo'
            ;;
        compile)
            options='--root --format --output --role'
            ;;
        selinux)
            options='--output'
            ;;
        explain)
            options='--root'
            [[ $word == -* ]] || words=$(_kubensctl_services)
            ;;
        wrap | env | release)
            options='--namespace --now --dry-run --root'
            [[ $word == -* ]] || words=$(_kubensctl_services)
            ;;
        join | leave)
            options='--now --dry-run --root'
            if [[ $before == "$verb" ]]; then
                words=$(_kubensctl_networks)
            elif [[ $word != -* ]]; then
                words=$(_kubensctl_services)
            fi
            ;;
        netns)
            words='list save exec'
            ;;
        'netns save')
            [[ $word == -* ]] || words=$(_kubensctl_networks)
            ;;
        pod)
            words='list check prepare'
            ;;
        'pod list')
            options='--root --json'
            ;;
        'pod check')
            options='--root --json'
            [[ $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
            ;;
        'pod prepare')
            options='--root --tree --oci --replace'
            [[ $word == -* ]] || words=$(_kubensctl_pods)
            ;;
        'netns exec')
            if [[ $word == -* ]]; then
                :
            elif [[ $before == exec ]]; then
                words="$(_kubensctl_networks) $(_kubensctl_services)"
            else
                mapfile -t COMPREPLY < <(compgen -c -- "$word")
            fi
            ;;
    esac
    if [[ $word == -* ]]; then
        words="$options --help"
    fi
    # Of the files or commands, if there are any, and these.
    while read -r i; do
        COMPREPLY+=("$i")
    done < <(compgen -W "$words" -- "$word")
}

complete -F _kubensctl kubensctl
